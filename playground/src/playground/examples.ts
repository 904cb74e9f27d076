/**
 * The tabs that a first visit opens, one for each file of the folder `examples`, in the order of
 * the file names. A tab is titled after its first operation. `NAME.json` beside `NAME.graphql`
 * holds the tab's variables.
 */
export interface Example {
  query: string;
  variables: string | null;
}

const queries = import.meta.glob<string>('./examples/*.graphql', { query: '?raw', import: 'default', eager: true });
const variables = import.meta.glob<string>('./examples/*.json', { query: '?raw', import: 'default', eager: true });

export const examples: Example[] = Object.keys(queries)
  .sort()
  .map((path) => ({
    query: queries[path]!,
    variables: variables[path.replace(/\.graphql$/, '.json')] ?? null,
  }));
