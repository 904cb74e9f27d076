import assert from 'node:assert/strict';

import { ClientError, gql, GraphQLClient } from 'graphql-request';

export const packages = ['graphql-request'];

/** graphql-request: no cache, no streams. */
export function checks(server) {
  const headers = { 'x-client-name': 'graphql-request-e2e', 'x-client-version': '7.4' };
  const client = new GraphQLClient(server.url, { headers });
  const failing = async (promise) => {
    const error = await promise.then(() => assert.fail('it is accepted'), (e) => e);
    assert.ok(error instanceof ClientError, String(error));
    return error.response.errors[0].extensions.code;
  };
  let made;

  return {
    'a query': async () => {
      const { customerV2 } = await client.request(gql`query Read($key: ID!) { customerV2(customerId: $key) { name phones { kind number } } }`, { key: 'ALFKI' });
      assert.equal(customerV2.phones[0].kind, 'VOICE');
    },
    'a query by GET': async () => {
      const byGet = new GraphQLClient(server.url, { headers, method: 'GET' });
      const { migration } = await byGet.request(gql`query Phase($entity: Entity!) { migration(entity: $entity) { phase } }`, { entity: 'ORDER' });
      assert.equal(migration.phase, 'MIGRATE');
    },
    'mutations, with exact money': async () => {
      const { createOrderV2 } = await client.request(gql`mutation Create($input: CreateOrderV2Input!) {
        createOrderV2(input: $input) { order { id orderId total { amount currencyCode } lines { unitPrice { amount } discount } } } }`, {
        input: { customerId: 'ALFKI', placedOn: '1998-05-06', lines: [{ productId: 1, unitPrice: '9.80', quantity: 3, discount: '0.15' }] },
      });
      made = createOrderV2.order;
      assert.deepEqual(made.total, { amount: '24.99', currencyCode: 'USD' });
      assert.deepEqual(made.lines, [{ unitPrice: { amount: '9.80' }, discount: '0.15' }]);
      const { orderV1 } = await client.request(gql`query Old($id: ID!) { orderV1(orderId: $id) { details { unitPrice discount } } }`, { id: made.orderId });
      assert.deepEqual(orderV1.details.map(({ unitPrice, discount }) => [Math.fround(unitPrice), Math.fround(discount)]), [[Math.fround(9.8), Math.fround(0.15)]]);
    },
    'refetching a node, and what was removed': async () => {
      const query = gql`query Again($ids: [ID!]!) { nodes(ids: $ids) { id ... on OrderV2 { orderId } } }`;
      assert.deepEqual(await client.request(query, { ids: [made.id] }), { nodes: [{ id: made.id, orderId: made.orderId }] });
      await client.request(gql`mutation Remove($id: ID!) { deleteOrderV2(orderId: $id) { deletedKey } }`, { id: made.orderId });
      assert.deepEqual(await client.request(query, { ids: [made.id] }), { nodes: [null] });
    },
    'errors have their codes': async () => {
      assert.equal(await failing(client.request(gql`mutation { createCustomerV2(input: {customerId: "ALFKI", name: "x"}) { customer { id } } }`)), 'ALREADY_EXISTS');
      assert.equal(await failing(client.request('{ nothing }')), 'BAD_USER_INPUT');
      assert.equal(await failing(client.request(gql`query Read($key: ID!) { customerV2(customerId: $key) { id } }`)), 'BAD_USER_INPUT');
      assert.equal(await failing(client.request(gql`mutation { updateCustomerV2(input: {customerId: "ALFKI", addresses: [{locality: "${'x'.repeat(16)}"}]}) { customer { id } } }`)), 'NOT_REPRESENTABLE_IN_V1');
    },
    'a subscription without a stream is refused with a hint': async () => {
      const error = await client.request(gql`subscription { migrationProgress(entity: CUSTOMER) { phase } }`).catch((e) => e);
      assert.equal(error.response.status, 400);
      assert.match(error.response.errors[0].message, /graphql-transport-ws/);
    },
    'pages of V1 go on in V2': async () => {
      const { old } = await client.request(gql`{ old: customersV1(first: 5) { pageInfo { endCursor } nodes { customerId } } }`);
      const { rest } = await client.request(gql`query Rest($after: String) { rest: customersV2(first: 5, after: $after) { nodes { customerId } } }`, { after: old.pageInfo.endCursor });
      const keys = [...old.nodes, ...rest.nodes].map((node) => node.customerId);
      assert.deepEqual(keys, [...new Set(keys)].sort());
      assert.equal(keys.length, 10);
    },
    'it is seen in v1Usage under its name': async () => {
      assert.ok((await server.v1Usage('graphql-request-e2e')).length > 0);
    },
  };
}
