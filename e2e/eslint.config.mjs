import graphqlPlugin from '@graphql-eslint/eslint-plugin';

// The recommended and the Relay rules for schemas, with what the outside contract fixes.
const rules = {
  ...graphqlPlugin.configs['flat/schema-recommended'].rules,
  ...graphqlPlugin.configs['flat/schema-relay'].rules,
  '@graphql-eslint/strict-id-in-types': ['error', {
    exceptions: {
      types: [
        'CustomerV1', 'OrderV1', 'OrderDetailV1', // the stock tables, column by column, have no global ids
        'Contact', 'Address', 'Phone', 'OrderLine', 'Shipment', 'Money', 'Copy', // values: they live within their aggregate
        'MigrationProgress', 'OriginCount', 'Blocker', 'Capture', 'PhaseChange', 'V1Usage', 'QuarantineEntry', 'Finding', // facts
      ],
      suffixes: ['Payload', 'Connection', 'Edge', 'PageInfo'],
    },
  }],
  // Quarantine and findings are read forwards only, as the Relay specification allows.
  '@graphql-eslint/relay-arguments': ['error', { includeBoth: false }],
  // Connections have `nodes` beside `edges`, and values are plain lists. The nodes of V1 are no Nodes; the suite checks those of V2.
  '@graphql-eslint/relay-edge-types': ['error', { listTypeCanWrapOnlyEdgeType: false, shouldImplementNode: false }],
};

const lint = (schema, more) => ({
  files: [schema],
  languageOptions: { parser: graphqlPlugin.parser, parserOptions: { graphQLConfig: { schema } } },
  plugins: { '@graphql-eslint': graphqlPlugin },
  rules: { ...rules, ...more },
});

export default [
  lint('build/source.graphqls', { '@graphql-eslint/description-style': ['error', { style: 'inline' }] }), // ../schema.graphqls
  lint('build/schema.graphqls'), // the same as the server serves it
];
