// Drives the playground of a running server the way a first visitor would.
//
//   node e2e/playground.mjs http://127.0.0.1:8080     (or COEXIST_URL)
//
// The server must hold the sample data with customers in the phase MIGRATE, and grant the
// operator role. CHROMIUM names the browser, SCREENSHOTS the folder for the pictures.
// Exits with 1 and says what is wrong if anything is.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openBrowser } from './lib/browser.mjs';
import { GraphiQL } from './lib/graphiql.mjs';

const baseURL = process.argv[2] ?? process.env.COEXIST_URL ?? 'http://127.0.0.1:8080';
const screenshots = process.env.SCREENSHOTS ?? (await mkdtemp(join(tmpdir(), 'coexist-playground-')));
const patience = 30_000; // for one answer
const sweepPatience = 180_000; // for the sweep of all customers

const tabs = [
  'ReadBothShapes',
  'WriteThroughV1',
  'AddSecondContact',
  'ListCustomersV2',
  'SweepCustomers',
  'WatchRun',
  'MigrationState',
];

/** What a visitor does, in order. Each step gets the playground and what earlier steps left. */
const steps = {
  'the page opens with all example tabs': async (graphiql) => {
    await graphiql.open();
    assert.deepEqual(await graphiql.tabs(), tabs);
  },

  'the documentation shows the schema': async (graphiql) => {
    await graphiql.showPlugin('Documentation Explorer');
    const docs = graphiql.page.locator('.graphiql-plugin');
    await docs.getByRole('link', { name: 'Subscription' }).waitFor();
    await docs.getByRole('link', { name: 'Query' }).click();
    await docs.getByText('customersV2').waitFor();
  },

  'the explorer offers the fields of the schema': async (graphiql) => {
    await graphiql.showPlugin('GraphiQL Explorer');
    await graphiql.page.locator('.graphiql-explorer-root').getByText('customersV2').first().waitFor();
  },

  'the editor knows the schema': async (graphiql) => {
    await graphiql.hidePlugin('GraphiQL Explorer');
    // Fields that do not exist would be underlined by the worker that validates.
    assert.equal(await graphiql.page.locator('.graphiql-query-editor .squiggly-error').count(), 0);
  },

  'customers are in the phase MIGRATE': async (graphiql) => {
    await graphiql.selectTab('MigrationState');
    const { migrations } = await graphiql.run('MigrationState');
    const phase = migrations.find(({ entity }) => entity === 'CUSTOMER')?.phase;
    assert.equal(phase, 'MIGRATE', 'rehearse and set the phase of CUSTOMER to MIGRATE before this test');
  },

  'a read of V2 stores the copy': async (graphiql) => {
    await graphiql.selectTab('ReadBothShapes');
    await graphiql.run('ReadBothShapes');
    const { customerV1, customerV2 } = await graphiql.run('ReadBothShapes');
    assert.equal(customerV1?.companyName, 'Alfreds Futterkiste', 'V1 has no ALFKI: is this the sample data?');
    assert.equal(customerV2.name, customerV1.companyName);
    assert.equal(customerV2.contacts[0].displayName, customerV1.contactName);
    assert.equal(customerV2.addresses[0].countryCode, 'DE');
    assert.equal(customerV2.copy.stored, true, 'the second read of ALFKI still has no stored copy');
    assert.ok(customerV2.copy.migratedAt, 'a stored copy has no time');
    await graphiql.waitUntilShown('Alfreds Futterkiste');
  },

  'a write through V1 arrives in V2': async (graphiql) => {
    await graphiql.selectTab('WriteThroughV1');
    const { updateCustomerV1 } = await graphiql.run('WriteThroughV1', { several: true });
    assert.equal(updateCustomerV1.customer.contactTitle, 'Head of Sales');
    const { customerV2 } = await graphiql.run('ItArrivesInV2', { several: true });
    assert.equal(customerV2.contacts[0].title, 'Head of Sales', 'the title written through V1 is not in V2');
    await graphiql.waitUntilShown('Head of Sales');
  },

  'a second contact of V2 outlives a write through V1': async (graphiql) => {
    await graphiql.selectTab('AddSecondContact');
    const { updateCustomerV2 } = await graphiql.run('AddSecondContact', { several: true });
    assert.equal(updateCustomerV2.customer.contacts.length, 2);
    assert.equal(updateCustomerV2.customer.copy.refined, true, 'a V2 write does not count as refining the copy');
    const { customerV1 } = await graphiql.run('V1KnowsTheFirst', { several: true });
    assert.equal(customerV1.contactName, 'Maria Anders');
    await graphiql.run('V1WritesAgain', { several: true });
    const { customerV2 } = await graphiql.run('TheSecondStays', { several: true });
    assert.deepEqual(customerV2.contacts, [
      { displayName: 'Maria Anders', title: 'Managing Director' },
      { displayName: 'Jonas Bergmann', title: 'Accounting' },
    ]);
    assert.ok(
      customerV2.version > updateCustomerV2.customer.version,
      `the write through V1 left the version at ${customerV2.version}`,
    );
    await graphiql.waitUntilShown('Jonas Bergmann');
  },

  'a list holds V2 customers with their orders': async (graphiql) => {
    await graphiql.selectTab('ListCustomersV2');
    const { customersV2 } = await graphiql.run('ListCustomersV2');
    assert.ok(customersV2.totalCount >= customersV2.nodes.length && customersV2.nodes.length > 0, 'the list is empty');
    assert.ok(customersV2.nodes.every((node) => node !== null), 'a node of the list is null');
    const orders = customersV2.nodes.flatMap((node) => node.orders.nodes);
    assert.ok(orders.length > 0, 'no customer of the page has an order');
    for (const order of orders) assert.match(order.total.amount, /^\d+(\.\d+)?$/);
    await graphiql.waitUntilShown('totalCount');
  },

  'a sweep starts': async (graphiql, state) => {
    await graphiql.selectTab('SweepCustomers');
    const { startSweep } = await graphiql.run('SweepCustomers');
    assert.equal(startSweep.run.kind, 'SWEEP');
    state.runId = startSweep.run.id;
    await graphiql.waitUntilShown(state.runId);
  },

  'its subscription reports progress and completes': async (graphiql, state) => {
    await graphiql.selectTab('WatchRun');
    await graphiql.fillVariable(state.runId);
    const events = await withLimit(graphiql.subscribe(), sweepPatience, 'the sweep to end');
    assert.ok(events.length > 0, 'the subscription completed without an event');
    for (const { errors } of events) assert.equal(errors, undefined, JSON.stringify(errors));
    const runs = events.map(({ data }) => data.runProgress);
    for (let i = 1; i < runs.length; i++) assert.ok(runs[i].done >= runs[i - 1].done, 'progress went backwards');
    const last = runs.at(-1);
    assert.equal(last.status, 'SUCCEEDED', `the sweep ended so: ${JSON.stringify(last)}`);
    assert.equal(last.done, last.total, 'the sweep succeeded before it was done');
    await graphiql.waitUntilShown('SUCCEEDED');
    await graphiql.waitUntilIdle();
  },

  'the state counts how copies came to be': async (graphiql) => {
    await graphiql.selectTab('MigrationState');
    const { migrations } = await graphiql.run('MigrationState');
    const { progress } = migrations.find(({ entity }) => entity === 'CUSTOMER');
    const copies = progress.byOrigin.reduce((sum, { count }) => sum + count, 0);
    assert.ok(copies > 0, 'no copy is counted by its origin');
    assert.ok(progress.migrated > 0, 'nothing counts as migrated after a sweep');
    await graphiql.waitUntilShown('byOrigin');
  },

  'a second visit finds the tabs as they were left': async (graphiql) => {
    await graphiql.waitUntilKept();
    await graphiql.open();
    // A tab with several operations is titled after the one that ran last.
    assert.equal((await graphiql.tabs()).length, tabs.length);
  },
};

function withLimit(promise, milliseconds, what) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${milliseconds / 1000} s for ${what}`)), milliseconds);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

async function main() {
  await mkdir(screenshots, { recursive: true });
  const { page, faults, close } = await openBrowser(baseURL);
  page.setDefaultTimeout(patience);
  const graphiql = new GraphiQL(page);
  const state = {};
  let number = 0;
  try {
    for (const [name, step] of Object.entries(steps)) {
      const picture = join(screenshots, `${String(++number).padStart(2, '0')}-${name.replaceAll(' ', '-')}.png`);
      try {
        await step(graphiql, state);
        assert.deepEqual(faults, [], 'the page did what it must not do');
        console.log(`ok    ${name}`);
      } catch (error) {
        console.error(`FAIL  ${name}\n${error.message}`);
        if (faults.length > 0) console.error(`The page reported:\n  ${faults.join('\n  ')}`);
        process.exitCode = 1;
        return;
      } finally {
        await page.screenshot({ path: picture }).catch((error) => console.error(`no picture: ${error.message}`));
      }
    }
    console.log(`The playground at ${baseURL} works. Pictures: ${screenshots}`);
  } finally {
    await close();
  }
}

main().catch((error) => {
  console.error(`FAIL  ${error.message}`);
  process.exitCode = 1;
});
