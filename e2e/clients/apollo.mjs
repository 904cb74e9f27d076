import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import { filter, firstValueFrom, from } from 'rxjs';
import { WebSocket } from 'ws';

export const packages = ['@apollo/client'];

/** Apollo Client: HTTP, persisted queries over GET, and subscriptions over graphql-ws. */
export function checks(server) {
  const requests = []; // that the client has sent
  const observed = (url, options) => {
    requests.push({ method: options.method ?? 'GET', url: String(url), body: options.body });
    return fetch(url, options);
  };
  const identity = { name: 'apollo-e2e', version: '4.0' };
  const cache = () => new InMemoryCache({
    typePolicies: { Query: { fields: { customersV2: relayStylePagination(['orderBy', 'filter']) } } },
  });
  const sockets = createClient({
    url: server.socketURL,
    webSocketImpl: WebSocket,
    connectionParams: { 'apollographql-client-name': 'apollo-e2e-socket', 'apollographql-client-version': '4.0' },
  });
  const client = new ApolloClient({
    clientAwareness: identity,
    cache: cache(),
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(sockets),
      new HttpLink({ uri: server.url, fetch: observed }),
    ),
  });
  const card = gql`
    fragment Card on CustomerV2 {
      id
      customerId
      name
      version
      contacts { displayName title }
    }
  `;
  const read = gql`
    query Read($key: ID!) { customerV2(customerId: $key) { ...Card } }
    ${card}
  `;
  const rename = gql`
    mutation Rename($input: UpdateCustomerV2Input!) { updateCustomerV2(input: $input) { customer { ...Card } } }
    ${card}
  `;
  let alfki;

  return {
    'a query with a fragment': async () => {
      const { data } = await client.query({ query: read, variables: { key: 'ALFKI' } });
      alfki = data.customerV2;
      assert.equal(alfki.name, 'Alfreds Futterkiste');
      assert.equal(alfki.contacts.length, 1);
    },
    'refetching a node gives the same object of the cache': async () => {
      const { data } = await client.query({
        query: gql`query Again($id: ID!) { node(id: $id) { ... on CustomerV2 { id name } } }`,
        variables: { id: alfki.id },
      });
      assert.deepEqual(data.node, { __typename: 'CustomerV2', id: alfki.id, name: alfki.name });
      assert.equal(client.cache.extract()[`CustomerV2:${alfki.id}`].customerId, 'ALFKI');
    },
    'a mutation changes what a watched query shows': async () => {
      const shown = [];
      const watched = client.watchQuery({ query: read, variables: { key: 'ALFKI' } })
        .subscribe(({ data }) => data?.customerV2 && shown.push(data.customerV2.name));
      for (const name of ['Renamed by Apollo', 'Alfreds Futterkiste']) {
        const { data } = await client.mutate({ mutation: rename, variables: { input: { customerId: 'ALFKI', name } } });
        assert.equal(data.updateCustomerV2.customer.name, name);
      }
      watched.unsubscribe();
      assert.deepEqual(shown, ['Alfreds Futterkiste', 'Renamed by Apollo', 'Alfreds Futterkiste']);
    },
    'the error of a mutation has its code': async () => {
      const error = await client.mutate({
        mutation: rename,
        variables: { input: { customerId: 'ALFKI', name: 'x', expectedVersion: 999_999 } },
      }).then(() => assert.fail('it is accepted'), (e) => e);
      assert.ok(CombinedGraphQLErrors.is(error), String(error));
      assert.equal(error.errors[0].extensions.code, 'STALE_VERSION');
      assert.deepEqual(error.errors[0].path, ['updateCustomerV2']);
    },
    'an invalid query is an error with a code, whatever its status': async () => {
      const error = await client.query({ query: gql`{ nothing }` }).then(() => assert.fail('it is accepted'), (e) => e);
      assert.ok(CombinedGraphQLErrors.is(error), String(error));
      assert.equal(error.errors[0].extensions.code, 'BAD_USER_INPUT');
    },
    'a row that cannot be converted is a null with an error at its path': async () => {
      await server.ask(`mutation { createCustomerV1(input: {customerId: "APOLL", companyName: "x", country: "Atlantis"}) { customer { customerId } } }`);
      const { data, error } = await client.query({
        query: gql`{ customersV2(filter: {keys: ["ALFKI", "APOLL"]}) { nodes { id customerId } } }`,
        errorPolicy: 'all',
        fetchPolicy: 'no-cache',
      });
      await server.ask(`mutation { deleteCustomerV1(customerId: "APOLL") { deletedKey } }`);
      assert.deepEqual(data.customersV2.nodes.map((node) => node?.customerId), ['ALFKI', undefined]);
      assert.deepEqual(error.errors[0].path, ['customersV2', 'nodes', 1]);
      assert.equal(error.errors[0].extensions.code, 'CONVERSION_FAILED');
    },
    'relayStylePagination gathers all pages': async () => {
      const list = client.watchQuery({
        query: gql`query Page($first: Int!, $after: String) {
          customersV2(first: $first, after: $after) { totalCount edges { cursor node { id } } pageInfo { hasNextPage endCursor } }
        }`,
        variables: { first: 70 },
      });
      const watching = list.subscribe(() => {});
      const shown = (more) => firstValueFrom(from(list).pipe(filter(({ loading, data }) => !loading && data.customersV2.edges.length > more)));
      let { data } = await shown(0);
      let pages = 1;
      for (; data.customersV2.pageInfo.hasNextPage; pages++) {
        await list.fetchMore({ variables: { after: data.customersV2.pageInfo.endCursor } });
        ({ data } = await shown(data.customersV2.edges.length));
      }
      watching.unsubscribe();
      assert.equal(pages, 3);
      assert.equal(new Set(data.customersV2.edges.map((edge) => edge.node.id)).size, data.customersV2.totalCount);
      return `${data.customersV2.totalCount} customers in ${pages} pages`;
    },
    'automatic persisted queries over GET': async () => {
      const persisted = () => new ApolloClient({
        clientAwareness: identity,
        cache: cache(),
        link: ApolloLink.from([
          new PersistedQueryLink({ sha256: (text) => createHash('sha256').update(text).digest('hex'), useGETForHashedQueries: true }),
          new HttpLink({ uri: server.url, fetch: observed, useGETForQueries: true }),
        ]),
      });
      for (const expected of [2, 1]) { // with the query the first time, by its hash alone the second
        requests.length = 0;
        const { data } = await persisted().query({ query: read, variables: { key: 'ALFKI' } });
        assert.equal(data.customerV2.customerId, 'ALFKI');
        assert.equal(requests.length, expected);
        assert.ok(requests.every(({ method }) => method === 'GET'), 'all by GET');
        assert.equal(new URL(requests.at(-1).url).searchParams.has('query'), expected === 2);
      }
    },
    'a subscription over WebSocket sends states and completes': async () => {
      const id = await server.startRun();
      const states = await collect(client.subscribe({
        query: gql`subscription Watch($id: ID!) { runProgress(id: $id) { id status done total } }`,
        variables: { id },
      }));
      assert.equal(states.at(-1).data.runProgress.status, 'SUCCEEDED');
      assert.ok(states.length > 1);
      return `${states.length} states`;
    },
    'a subscription that fails has its code': async () => {
      const states = await collect(client.subscribe({
        query: gql`subscription Watch($id: ID!) { runProgress(id: $id) { id } }`,
        variables: { id: 'bm8=' },
      }));
      assert.equal(states[0].error.errors[0].extensions.code, 'BAD_USER_INPUT');
    },
    'it is seen in v1Usage under its name': async () => {
      await client.query({ query: gql`query OldCard { customerV1(customerId: "ALFKI") { customerId city } }` });
      assert.deepEqual(await server.v1Usage('apollo-e2e'), [
        '4.0 OldCard CustomerV1.city 1', '4.0 OldCard CustomerV1.customerId 1', '4.0 OldCard Query.customerV1 1',
      ]);
    },
    'it ends': async () => {
      client.stop();
      await sockets.dispose();
    },
  };
}

const collect = (observable) => new Promise((resolve, reject) => {
  const all = [];
  observable.subscribe({ next: (state) => all.push(state), error: reject, complete: () => resolve(all) });
});
