import assert from 'node:assert/strict';

export const packages = ['@graphql-codegen/client-preset'];

/** What was compiled with the types that graphql-codegen has made. */
export async function checks(server) {
  const { Orders } = await import('../build/js/typed/client.js');
  const v1 = await import('../build/js/move-a-client/v1/client.js');
  const v2 = await import('../build/js/move-a-client/v2/client.js');
  const orders = new Orders(server.url);
  const list = async (...versions) => {
    const pages = [];
    let next;
    for (let i = 0; next !== null; i++) {
      const page = await versions[i % versions.length].page(server.url, 40, next);
      pages.push(...page.lines);
      next = page.next;
    }
    return pages;
  };
  let before;

  return {
    'a typed list, node, mutation and fragment': async () => {
      const { orders: [order], total } = await orders.newest(3);
      assert.ok(total > 100 && order.status === 'SHIPPED');
      assert.deepEqual((await orders.node(order.id)).total, order.total);
      const noted = await orders.note(order.orderId, 'typed');
      assert.deepEqual([noted.note, noted.copy.origin, noted.amount], ['typed', 'WRITE', order.total.amount]);
      assert.equal((await orders.note(order.orderId, null)).note, null);
    },
    'a typed subscription': async () => {
      let last;
      for await (const { runProgress } of orders.watch(await server.startRun())) last = runProgress;
      assert.equal(last.status, 'SUCCEEDED');
    },
    'the client of docs/move-a-client.md lists all customers through V1': async () => {
      before = await list(v1);
      const { customersV2 } = await server.ask('{ customersV2(first: 1) { totalCount } }');
      assert.equal(before.length, customersV2.totalCount);
      return `${before.length} lines`;
    },
    'it is seen in v1Usage': async () => {
      assert.ok((await server.v1Usage('customer-list')).some((line) => line.startsWith('1.0.0 Customers CustomerV1.companyName ')));
    },
    'moved to V2 it prints the same lines': async () => assert.deepEqual(await list(v2), before),
    'and goes on where the old one has stopped, page by page': async () => assert.deepEqual(await list(v1, v2), before),
    'the moved client is not in v1Usage': async () => {
      assert.ok((await server.v1Usage('customer-list')).every((line) => line.startsWith('1.0.0 ')));
    },
  };
}
