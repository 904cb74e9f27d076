import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { CriticalityLevel, diff } from '@graphql-inspector/core';
import { buildSchema, isInterfaceType, isObjectType } from 'graphql';

import { packageVersion } from './lib/report.mjs';

const run = promisify(execFile);
const here = new URL('.', import.meta.url);
const read = (path) => readFile(new URL(path, here), 'utf8');

/** Runs a program of a package in this folder. */
async function program(name, ...args) {
  try {
    return (await run(new URL(`node_modules/.bin/${name}`, here).pathname, args, { cwd: here })).stdout;
  } catch (error) {
    throw new Error(`${name} ${args.join(' ')}: ${error.message}\n${error.stdout}${error.stderr}`);
  }
}

/** What looks at the schema, and what makes code of it. The code goes to build/, where the clients take it from. */
export async function tools(report, server) {
  const build = new URL('build/', here);
  await rm(build, { recursive: true, force: true });
  await mkdir(build);
  const response = await fetch(`${server.base}/schema.graphqls`);
  const served = await response.text();
  await writeFile(new URL('schema.graphqls', build), served);
  await writeFile(new URL('schema.graphql', build), served); // Relay goes by the name
  await writeFile(new URL('source.graphqls', build), await read('../schema.graphqls'));
  for (const folder of ['typed', 'relay', 'move-a-client']) {
    await cp(new URL(folder, here), new URL(folder, build), { recursive: true });
  }
  const schema = buildSchema(served);
  const released = await read('released.graphqls');
  const breaking = async (before, after) => (await diff(buildSchema(before), buildSchema(after)))
    .filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking)
    .map(({ message }) => message);

  await report.group(packageVersion('@graphql-eslint/eslint-plugin'), {
    'the recommended and the Relay schema rules pass, on the source and on what is served': async () => {
      // Each in a process of its own: the plugin keeps the first schema that it has seen.
      for (const file of ['build/source.graphqls', 'build/schema.graphqls']) await program('eslint', '--max-warnings=0', file);
    },
    'every edge of V2 leads to a Node': async () => {
      const edges = Object.values(schema.getTypeMap()).filter((type) => /V2Edge$/.test(type.name));
      assert.ok(edges.length >= 2);
      for (const edge of edges) {
        assert.ok(edge.getFields().node.type.getInterfaces().some((i) => i.name === 'Node'), edge.name);
      }
    },
    'every field of V1 is deprecated in favour of something that is there': async () => {
      let n = 0;
      const known = new Set(Object.values(schema.getTypeMap()).flatMap((type) => [type.name, ...Object.keys(type.getFields?.() ?? {}).flatMap((field) =>
        [`${type.name}.${field}`, ...(/^(Query|Mutation)$/.test(type.name) ? [field] : [])])]));
      for (const type of Object.values(schema.getTypeMap())) {
        if (!isObjectType(type) && !isInterfaceType(type)) continue;
        for (const field of Object.values(type.getFields())) {
          const isV1 = /.V1/.test(type.name) || /V1$/.test(field.name);
          assert.equal(field.deprecationReason != null, isV1, `${type.name}.${field.name}`);
          if (!isV1) continue;
          n++;
          const [, instead] = /^Use ([\w.]+)\.$/.exec(field.deprecationReason) ?? [];
          assert.ok(known.has(instead) && !/V1/.test(instead), `${type.name}.${field.name}: ${field.deprecationReason}`);
        }
      }
      return `${n} fields`;
    },
  });
  await report.group(packageVersion('@graphql-inspector/core'), {
    'nothing breaks against the last release': async () => assert.deepEqual(await breaking(released, served), []),
    'it would notice': async () => {
      const worse = served.replace('  version: Int!', '  version: Int').replace('customerV2(customerId: ID!): CustomerV2', 'customerV2(customerId: ID!, other: ID!): CustomerV2');
      assert.notEqual(worse, served);
      assert.ok((await breaking(released, worse)).length >= 2);
    },
  });
  await report.group([packageVersion('@graphql-codegen/cli'), packageVersion('@graphql-codegen/client-preset')].join(', '), {
    'it makes types of all documents': async () => { await program('graphql-codegen', '--config', 'codegen.yml'); },
  });
  await report.group(packageVersion('relay-compiler'), {
    'it compiles fragments, pagination, refetching, mutations and subscriptions': async () => {
      await mkdir(new URL('relay/__generated__', build), { recursive: true });
      await program('relay-compiler', 'relay.config.json');
    },
  });
  await report.group(packageVersion('typescript'), {
    'all typed documents and what uses them compile': async () => { await program('tsc', '--project', 'tsconfig.json'); },
    'the moved client does not compile while its code is the old one': async () => {
      const half = (await read('move-a-client/v1/client.ts')).replaceAll('customersV1', 'customersV2').replaceAll('CustomerV1', 'CustomerV2');
      const error = await (async () => {
        await mkdir(new URL('half/', build));
        await writeFile(new URL('half/client.ts', build), half);
        await program('graphql-codegen', '--config', 'codegen.half.yml');
      })().then(() => assert.fail('it is accepted'), (e) => e);
      assert.match(String(error), /Cannot query field "companyName" on type "CustomerV2"/);
    },
  });
  await report.group('docs/move-a-client.md', {
    'its code blocks are the files of the suite': async () => {
      const text = await read('../docs/move-a-client.md');
      const blocks = [...text.matchAll(/^```\w+ (e2e\/\S+)\n([\s\S]*?)^```$/gm)];
      for (const [, path, code] of blocks) assert.equal(code, await read(`../${path}`), path);
      assert.deepEqual(blocks.map(([, path]) => path), ['e2e/move-a-client/v1/client.ts', 'e2e/move-a-client/v2/client.ts']);
    },
  });
}
