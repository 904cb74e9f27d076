// Each example of the playground must be a valid document of the server's schema.
// The schema is ../schema.graphqls, or the file that the environment variable SCHEMA names.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildASTSchema, getVariableValues, parse, validate, validateSchema } from 'graphql';

const folder = fileURLToPath(new URL('../src/playground/examples', import.meta.url));
const schemaFile = process.env.SCHEMA ?? fileURLToPath(new URL('../../schema.graphqls', import.meta.url));
const examples = readdirSync(folder).filter((name) => name.endsWith('.graphql'));
const required = process.env.CI || process.env.SCHEMA;
const skip = !required && !existsSync(schemaFile) && `there is no ${schemaFile}`;

/** Directives that steer the code generation are declared elsewhere, hence the leniency. */
const loadSchema = () => buildASTSchema(parse(readFileSync(schemaFile, 'utf8')), { assumeValidSDL: true });

test('there are examples', () => {
  assert.ok(examples.length >= 6, `found ${examples.length} in ${folder}`);
});

test('the schema itself is sound', { skip }, () => {
  assert.deepEqual(validateSchema(loadSchema()).map(String), []);
});

for (const name of examples) {
  const source = readFileSync(join(folder, name), 'utf8');

  test(`${name} is valid`, { skip }, () => {
    const schema = loadSchema();
    const document = parse(source);
    assert.deepEqual(validate(schema, document).map(String), []);

    const file = join(folder, name.replace(/\.graphql$/, '.json'));
    const variables = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
    for (const operation of document.definitions) {
      const { errors } = getVariableValues(schema, operation.variableDefinitions ?? [], variables);
      assert.equal(errors?.join('\n'), undefined, `${operation.name?.value}: ${file}`);
    }
  });

  test(`${name} begins with what to look for and names its operations`, () => {
    assert.match(source, /^# \S/);
    for (const operation of parse(source).definitions) {
      assert.ok(operation.name, 'the run button can only offer operations that have a name');
    }
  });

  test(`${name} fits the editor`, () => {
    for (const line of source.split('\n')) assert.ok(line.length <= 60, `longer than 60 characters: ${line}`);
  });
}
