import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { CriticalityLevel, diff } from '@graphql-inspector/core';
import {
  assertValidSchema, buildClientSchema, buildSchema, getIntrospectionQuery, isInputObjectType, isInterfaceType, isNonNullType, isObjectType,
} from 'graphql';

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

/** Whether an argument or a field of an input must be given. */
const isRequiredInput = ({ type, defaultValue }) => isNonNullType(type) && defaultValue === undefined;

/** Posts a query without any client. */
async function post(server, query) {
  const response = await fetch(server.url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ query }) });
  return response.json();
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
    'what leads to V1, and what may be null in it, is deprecated in favour of something that is there': async () => {
      let n = 0;
      const known = new Set(Object.values(schema.getTypeMap()).flatMap((type) => [type.name, ...Object.keys(type.getFields?.() ?? {}).flatMap((field) =>
        [`${type.name}.${field}`, ...(/^(Query|Mutation)$/.test(type.name) ? [field] : [])])]));
      for (const type of Object.values(schema.getTypeMap())) {
        if (!isObjectType(type) && !isInterfaceType(type)) continue;
        for (const field of Object.values(type.getFields())) {
          const isOld = (/.V1/.test(type.name) && !isNonNullType(field.type)) || /V1$/.test(field.name);
          assert.equal(field.deprecationReason != null, isOld, `${type.name}.${field.name}`);
          if (!isOld) continue;
          n++;
          const [, instead] = /^Use ([\w.]+)\.$/.exec(field.deprecationReason) ?? [];
          assert.ok(known.has(instead) && !/V1/.test(instead), `${type.name}.${field.name}: ${field.deprecationReason}`);
        }
      }
      return `${n} fields`;
    },
  });
  await report.group(packageVersion('graphql'), {
    'introspection with its defaults makes a valid schema of clients, and so does the file': async () => {
      const { data, errors } = await post(server, getIntrospectionQuery());
      assert.equal(errors, undefined);
      assertValidSchema(buildClientSchema(data));
      assertValidSchema(schema);
    },
    'no type looks empty to those who do not ask for what is deprecated': async () => {
      const { data } = await post(server, `{
        a: __type(name: "CustomerV1") { fields { name } }
        b: __type(name: "UpdateCustomerV1Input") { inputFields { name } }
        c: __type(name: "OrderDetailV1") { fields { name } }
      }`);
      for (const members of [data.a.fields, data.b.inputFields, data.c.fields]) assert.ok(members.length > 0);
      const all = await post(server, '{ __schema { types { name kind fields { name } inputFields { name } enumValues { name } } } }');
      for (const { name, kind, fields, inputFields, enumValues } of all.data.__schema.types) {
        const members = { OBJECT: fields, INTERFACE: fields, INPUT_OBJECT: inputFields, ENUM: enumValues }[kind];
        assert.ok(members === undefined || members.length > 0, `${name} looks empty`);
      }
    },
    'nothing that is required is deprecated': async () => {
      const fields = (name) => schema.getType(name).getFields();
      for (const [type, member] of [
        ['CustomerV1', 'customerId'], ['OrderV1', 'details'], ['OrderDetailV1', 'unitPrice'],
        ['CreateCustomerV1Input', 'companyName'], ['UpdateCustomerV1Input', 'customerId'], ['OrderDetailV1Input', 'unitPrice'],
      ]) assert.equal(fields(type)[member].deprecationReason, undefined, `${type}.${member}`);
      let n = 0;
      for (const type of Object.values(schema.getTypeMap())) {
        const inputs = isInputObjectType(type) ? Object.values(type.getFields()) : Object.values(type.getFields?.() ?? {}).flatMap(({ args }) => args);
        for (const input of inputs.filter(isRequiredInput)) {
          assert.equal(input.deprecationReason, undefined, `${type.name}: ${input.name}`);
          n++;
        }
      }
      return `${n} required arguments and fields of inputs`;
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
    'it makes types from the server\'s own answers, with its default settings': async () => {
      await writeFile(new URL('codegen.server.yml', build), `schema: ${server.url}\ngenerates:\n  build/from-server/:\n    preset: client\ndocuments: build/typed/*.ts\n`);
      await program('graphql-codegen', '--config', 'build/codegen.server.yml');
      assert.match(await read('build/from-server/graphql.ts'), /customerId/);
    },
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
