import assert from 'node:assert/strict';

import { createClient } from 'graphql-ws';
import relayRuntime from 'relay-runtime';
import { WebSocket } from 'ws';

const { commitMutation, createOperationDescriptor, Environment, fetchQuery, getRequest, Network, Observable, RecordSource, requestSubscription, Store } = relayRuntime;

export const packages = ['relay-runtime', 'relay-compiler'];

/** Relay's runtime, with what its compiler has made of relay/operations.ts. */
export async function checks(server) {
  const artifact = async (name) => (await import(`../build/js/relay/__generated__/${name}.graphql.js`)).default;
  const sockets = createClient({ url: server.socketURL, webSocketImpl: WebSocket });
  const environment = new Environment({
    store: new Store(new RecordSource()),
    network: Network.create(
      async ({ text: query }, variables) => {
        const response = await fetch(server.url, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', Accept: 'application/graphql-response+json' },
          body: JSON.stringify({ query, variables }),
        });
        return response.json();
      },
      ({ text: query }, variables) => Observable.create((sink) => sockets.subscribe({ query, variables }, sink)),
    ),
  });
  const ask = async (name, variables) => fetchQuery(environment, await artifact(name), variables).toPromise();
  const mutate = async (name, variables) => {
    const mutation = await artifact(name);
    return new Promise((resolve, reject) => {
      commitMutation(environment, { mutation, variables, onError: reject, onCompleted: (data, errors) => (errors ? reject(errors) : resolve(data)) });
    });
  };
  const stored = (id) => environment.getStore().getSource().get(id);
  let alfki;

  return {
    'a query fills the store by global ids': async () => {
      ({ customerV2: alfki } = await ask('operationsReadQuery', { customerId: 'ALFKI' }));
      assert.equal(stored(alfki.id).name, alfki.name);
      assert.equal(stored(alfki.id).__typename, 'CustomerV2');
    },
    'a refetchable fragment is read again by node': async () => {
      const { node } = await ask('operationsCustomerRefetchQuery', { id: alfki.id });
      assert.equal(node.__id, alfki.id);
      assert.equal(stored(stored(alfki.id).contacts.__refs[0]).displayName, 'Maria Anders');
    },
    'a @connection gathers all pages': async () => {
      await ask('operationsListQuery', {});
      const request = getRequest(await artifact('operationsPageQuery'));
      let pages = 1;
      const connection = () => stored(stored('client:root').__ref ?? 'client:root')['__operations_customersV2_connection'];
      const pageInfo = () => stored(stored(connection().__ref).pageInfo.__ref);
      for (; pageInfo().hasNextPage; pages++) {
        const operation = createOperationDescriptor(request, { count: 100, cursor: pageInfo().endCursor });
        await environment.execute({ operation }).toPromise();
      }
      const edges = stored(connection().__ref).edges.__refs.map((ref) => stored(stored(ref).node.__ref).customerId);
      const { customersV2 } = await server.ask('{ customersV2(first: 1) { totalCount } }');
      assert.equal(new Set(edges).size, customersV2.totalCount);
      return `${edges.length} customers in ${pages} pages`;
    },
    'a mutation changes the store': async () => {
      for (const name of ['Renamed by Relay', alfki.name]) {
        await mutate('operationsRenameMutation', { input: { customerId: 'ALFKI', name } });
        assert.equal(stored(alfki.id).name, name);
      }
    },
    'the error of a mutation has its code': async () => {
      const error = await mutate('operationsRemoveMutation', { customerId: 'NOONE' }).then(() => assert.fail('it is accepted'), (e) => e);
      assert.equal((error.source?.errors ?? error)[0].extensions.code, 'NOT_FOUND');
    },
    'a subscription sends states into the store and completes': async () => {
      const id = await server.startRun();
      const subscription = await artifact('operationsWatchSubscription');
      await new Promise((resolve, reject) => {
        requestSubscription(environment, { subscription, variables: { id }, onCompleted: resolve, onError: reject });
      });
      assert.equal(stored(id).status, 'SUCCEEDED');
    },
    'it ends': async () => sockets.dispose(),
  };
}
