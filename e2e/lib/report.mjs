import { readFileSync } from 'node:fs';

/** How long a check may take. */
const patience = 60_000;

/** Runs checks one after another, prints each, and knows at the end whether all have passed. */
export class Report {
  #where = '';
  #passed = new Map(); // by group
  #failed = [];
  #started = performance.now();

  /** What the checks that follow run on. */
  on(where) {
    this.#where = where;
    console.log(`\n${where}`);
  }

  /** Runs checks, functions by name. Those after a failed one run all the same. */
  async group(name, checks) {
    console.log(`  ${name}`);
    for (const [what, check] of Object.entries(checks)) {
      await this.check(name, what, check);
    }
  }

  async check(group, what, check) {
    const began = performance.now();
    try {
      const remark = await within(patience, check());
      const took = Math.round(performance.now() - began);
      console.log(`    ok    ${what}${typeof remark === 'string' ? `: ${remark}` : ''} (${took} ms)`);
      this.#passed.set(group, (this.#passed.get(group) ?? 0) + 1);
    } catch (error) {
      console.log(`    FAIL  ${what}\n${indent(error.stack ?? String(error))}`);
      this.#failed.push(`${this.#where}: ${group}: ${what}`);
    }
  }

  /** Prints the sum, and returns the exit status. */
  end() {
    const took = ((performance.now() - this.#started) / 1000).toFixed(1);
    const all = [...this.#passed.values()].reduce((a, b) => a + b, 0);
    console.log(`\n${all} checks passed, ${this.#failed.length} failed, in ${took} s`);
    for (const failed of this.#failed) console.log(`  FAILED  ${failed}`);
    return this.#failed.length === 0 ? 0 : 1;
  }
}

/** Fails when a promise takes longer than it may. */
export function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it has not ended after ${milliseconds} ms`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The name and the version of an npm package. */
export function packageVersion(name) {
  const { version } = JSON.parse(readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8'));
  return `${name} ${version}`;
}

const indent = (text) => text.replace(/^/gm, '          ');
