// Real GraphQL clients and their tools against the real server.
//
//   node run.mjs SERVER [PACKAGE...]
//
// SERVER is its binary. DATABASES names databases, sqlite and postgres where it is not there, and POSTGRES_URL a PostgreSQL
// database that may be filled. Packages choose among the clients.
//
// Prints every check; exits with 1 if one fails.

import { resolve } from 'node:path';

import { audits } from './audits.mjs';
import * as apollo from './clients/apollo.mjs';
import * as graphqlRequest from './clients/graphql-request.mjs';
import * as graphqlSSE from './clients/graphql-sse.mjs';
import * as graphqlWS from './clients/graphql-ws.mjs';
import * as relay from './clients/relay.mjs';
import * as typed from './clients/typed.mjs';
import * as urql from './clients/urql.mjs';
import { credentials, tokens } from './credentials.mjs';
import { packageVersion, Report } from './lib/report.mjs';
import { Server } from './lib/server.mjs';
import { tools } from './tools.mjs';

const clients = [apollo, urql, graphqlRequest, graphqlWS, graphqlSSE, relay, typed];

const [binary, ...only] = process.argv.slice(2);
const databases = { sqlite: ['SQLite', undefined], postgres: ['PostgreSQL', process.env.POSTGRES_URL] };
const chosen = (process.env.DATABASES ?? 'sqlite,postgres').split(',');
if (!binary || chosen.some((name) => !databases[name]) || (chosen.includes('postgres') && !process.env.POSTGRES_URL)) {
  console.error('usage: [DATABASES=sqlite,postgres] [POSTGRES_URL=…] node run.mjs SERVER [PACKAGE...]');
  process.exit(2);
}
const report = new Report();
let toolsRun = false;
for (const [name, url] of chosen.map((name) => databases[name])) {
  const server = await Server.start(resolve(binary), url);
  try {
    if (!toolsRun) { // they make what some clients need
      report.on('Tools');
      await tools(report, server);
      toolsRun = true;
    }
    report.on(name);
    await audits(report, server);
    for (const { packages, checks } of clients) {
      if (only.length > 0 && !packages.some((name) => only.includes(name))) continue;
      await report.group(packages.map(packageVersion).join(', '), await checks(server));
    }
    await report.group('the server', { 'it stops in good order after all that': () => server.stop() });
  } finally {
    server.kill();
  }
}
if (only.length === 0) {
  report.on('SQLite, with tokens');
  const server = await Server.start(resolve(binary), undefined, tokens);
  try {
    await report.group('the clients', credentials(server));
    await report.group('the server', { 'it stops in good order': () => server.stop() });
  } finally {
    server.kill();
  }
}
process.exit(report.end());
