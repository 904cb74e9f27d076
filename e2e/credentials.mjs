import assert from 'node:assert/strict';

import { ApolloClient, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client';
import { Client, fetchExchange } from '@urql/core';
import { ClientError, GraphQLClient } from 'graphql-request';
import { createClient as createSSE } from 'graphql-sse';
import { createClient as createWS } from 'graphql-ws';
import { WebSocket } from 'ws';

/** Who may do what, by token. */
export const tokens = { 'the-token-of-a-reader': 'reader', 'the-token-of-an-operator': 'operator' };

const [reader, operator] = Object.keys(tokens).map((token) => `Bearer ${token}`);
const read = '{ customerV2(customerId: "ALFKI") { name } }';
const watch = 'subscription { migrationProgress(entity: CUSTOMER) { phase } }';

/** The clients against a server that asks for tokens: with one, without one, and with one that is not enough. */
export function credentials(server) {
  const apollo = (authorization) => new ApolloClient({
    cache: new InMemoryCache(),
    link: new HttpLink({ uri: server.url, headers: authorization ? { authorization } : {} }),
  });
  const urql = (authorization) => new Client({
    url: server.url, preferGetMethod: false, exchanges: [fetchExchange], fetchOptions: { headers: authorization ? { authorization } : {} },
  });
  const sockets = (authorization) => createWS({
    url: server.socketURL, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams: authorization ? { Authorization: authorization } : {},
  });
  const streams = (authorization) => createSSE({ url: server.url, retryAttempts: 0, headers: authorization ? { authorization } : {} });
  const first = async (client, query) => {
    for await (const result of client.iterate({ query })) return result;
  };

  return {
    'Apollo Client reads with a token': async () => {
      const { data } = await apollo(reader).query({ query: gql(read) });
      assert.equal(data.customerV2.name, 'Alfreds Futterkiste');
    },
    'Apollo Client sees UNAUTHENTICATED without one, and FORBIDDEN where it is not enough': async () => {
      const none = await apollo().query({ query: gql(read) }).catch((error) => error);
      assert.ok(CombinedGraphQLErrors.is(none), String(none));
      assert.equal(none.errors[0].extensions.code, 'UNAUTHENTICATED');
      const little = await apollo(reader).query({ query: gql('{ migrations { phase } }') }).catch((error) => error);
      assert.equal(little.errors[0].extensions.code, 'FORBIDDEN');
    },
    'urql the same': async () => {
      assert.equal((await urql(reader).query(read, {})).data.customerV2.name, 'Alfreds Futterkiste');
      assert.equal((await urql().query(read, {})).error.graphQLErrors[0].extensions.code, 'UNAUTHENTICATED');
      assert.equal((await urql(reader).query('{ migrations { phase } }', {})).error.graphQLErrors[0].extensions.code, 'FORBIDDEN');
    },
    'graphql-request the same': async () => {
      const request = (authorization, query) => new GraphQLClient(server.url, { headers: authorization ? { authorization } : {} }).request(query);
      assert.equal((await request(reader, read)).customerV2.name, 'Alfreds Futterkiste');
      const none = await request(undefined, read).catch((error) => error);
      assert.ok(none instanceof ClientError);
      assert.equal(none.response.status, 401);
      assert.equal(none.response.errors[0].extensions.code, 'UNAUTHENTICATED');
    },
    'graphql-ws subscribes with a token in its connectionParams': async () => {
      const client = sockets(operator);
      assert.equal((await first(client, watch)).data.migrationProgress.phase, 'MIGRATE');
      assert.equal((await first(sockets(reader), watch)).errors[0].extensions.code, 'FORBIDDEN');
      await client.dispose();
    },
    'graphql-ws is closed with 4403 without one, and comes back slowly': async () => {
      const closed = await first(sockets(), watch).catch((event) => event);
      assert.equal(closed.code, 4403);
      let opened = 0;
      const stubborn = createWS({ url: server.socketURL, webSocketImpl: WebSocket, on: { opened: () => { opened++; } } });
      first(stubborn, watch).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await Promise.resolve(stubborn.dispose()).catch(() => {}); // which tells of the last socket
      assert.ok(opened >= 1 && opened <= 4, `${opened} sockets in 3 s`);
      return `${opened} sockets in 3 s`;
    },
    'graphql-sse subscribes with a token, and is refused without': async () => {
      assert.equal((await first(streams(operator), watch)).data.migrationProgress.phase, 'MIGRATE');
      const none = await first(streams(), watch).catch((error) => error);
      assert.equal(none.response.status, 401);
    },
    'the actor of a run is the name of the token': async () => {
      const response = await fetch(server.url, {
        method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: operator },
        body: JSON.stringify({ query: 'mutation { startVerification(input: {entity: ORDER}) { run { actor } } }' }),
      });
      assert.equal((await response.json()).data.startVerification.run.actor, 'operator');
    },
  };
}
