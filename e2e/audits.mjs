import assert from 'node:assert/strict';

import { serverAudits } from 'graphql-http';

/** All audits of graphql-http: https://github.com/graphql/graphql-http#audits. */
export async function audits(report, server) {
  const all = serverAudits({ url: server.url });
  const checks = { 'there are 61 of them': async () => assert.equal(all.length, 61) };
  for (const audit of all) {
    checks[`${audit.id} ${audit.name}`] = async () => {
      const result = await audit.fn();
      assert.equal(result.status, 'ok', `${result.status}: ${result.reason}`);
    };
  }
  await report.group('61 audits of GraphQL over HTTP', checks);
}
