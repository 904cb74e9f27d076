import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A server of our own, on a free port, with sample data and both entities in MIGRATE. */
export class Server {
  /** Seeds the database at a URL, or a new SQLite file where there is none, and serves it; to those with tokens, roles by token, where there are some. */
  static async start(binary, databaseURL, tokens) {
    const directory = await mkdtemp(join(tmpdir(), 'coexist-e2e-'));
    const database = databaseURL ?? `sqlite:${join(directory, 'clients.db')}`;
    const { DATABASE_URL, ...rest } = process.env;
    const env = { ...rest, COEXIST_DATABASE_URL: database, COEXIST_LOG_FORMAT: 'json' };
    const command = (...args) => run(binary, args, { cwd: directory, env });
    await command('seed', '--sample', '200');
    for (const entity of ['CUSTOMER', 'ORDER']) {
      await command('rehearse', entity);
      await command('phase', entity, 'MIGRATE', '--reason', 'the clients are next');
    }
    const options = [];
    if (tokens) {
      const lines = Object.entries(tokens).map(([token, role]) => `${role} ${createHash('sha256').update(token).digest('hex')} ${role}\n`);
      await writeFile(join(directory, 'tokens'), lines.join(''));
      options.push('--tokens-file', 'tokens');
    }
    const child = spawn(binary, ['serve', '--addr', '127.0.0.1:0', ...options], { cwd: directory, env, stdio: ['ignore', 'ignore', 'pipe'] });
    const server = new Server(child, directory);
    await server.#serving();
    return server;
  }

  #log = [];
  #ended;

  constructor(child, directory) {
    this.child = child;
    this.directory = directory;
    this.#ended = new Promise((resolve) => child.once('exit', resolve));
  }

  async #serving() {
    const lines = createInterface(this.child.stderr);
    this.base = await new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        this.#log.push(line);
        const { url } = JSON.parse(line);
        if (url) resolve(url);
      });
      this.child.once('exit', (status) => reject(new Error(`the server has ended with ${status}:\n${this.log()}`)));
    });
    this.url = `${this.base}/graphql`;
    this.socketURL = this.url.replace('http:', 'ws:');
  }

  log = () => this.#log.slice(-50).join('\n');

  /** Stops the server, which must end well. */
  async stop() {
    this.child.kill('SIGTERM');
    const status = await this.#ended;
    await rm(this.directory, { recursive: true });
    assert.equal(status, 0, `the server exits with ${status}:\n${this.log()}`);
  }

  kill() {
    this.child.kill('SIGKILL');
  }

  /** Posts an operation without any client, and returns the data. */
  async ask(query, variables) {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await response.json();
    assert.equal(errors, undefined, JSON.stringify(errors));
    return data;
  }

  /** Starts a run that takes a moment, and returns its id. The one before has to end first. */
  async startRun() {
    for (;;) {
      try {
        const data = await this.ask(`mutation { startVerification(input: {entity: CUSTOMER, maxRowsPerSecond: 400}) { run { id } } }`);
        return data.startVerification.run.id;
      } catch (error) {
        if (!String(error).includes('RUN_ALREADY_ACTIVE')) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** The uses of V1 by a client, as lines. */
  async v1Usage(client) {
    const { migration } = await this.ask(`{ migration(entity: CUSTOMER) { v1Usage { clientName clientVersion operationName field count } } }`);
    return migration.v1Usage
      .filter((use) => use.clientName === client)
      .map((use) => `${use.clientVersion} ${use.operationName} ${use.field} ${use.count}`)
      .sort();
  }
}
