import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

/** One package whose code or fonts are in the bundle. */
interface Notice {
  name: string;
  version: string;
  licence: string;
  texts: string[];
}

const licenceFile = /^(licen[cs]e|copying|notice|thirdpartynotices)/i;

/**
 * Gathers the licence of every package that goes into the pages and their workers, and writes
 * them as one file. `page` belongs to the pages' own plugins; `worker()` to the plugins of the
 * workers, which Vite bundles on their own and before the pages are done.
 *
 * `extra` is a folder of notices for what packages carry inside without naming it: one file
 * each. `standard` is a folder of licence texts, `SPDX-ID.txt`, for packages that come without
 * one. A package with neither fails the build.
 */
export function licences(options: { fileName: string; extra: string; standard: string }) {
  const folders = new Set<string>();
  const worker = (): Plugin => ({
    name: 'coexist:licences-of-worker',
    buildEnd() {
      for (const id of this.getModuleIds()) addPackage(folders, id);
    },
  });
  const page: Plugin = {
    name: 'coexist:licences',
    apply: 'build',
    buildEnd() {
      for (const id of this.getModuleIds()) addPackage(folders, id);
    },
    generateBundle() {
      const notices = [...folders].map((folder) => readNotice(folder, options.standard));
      const source = format(notices, readTexts(options.extra));
      this.emitFile({ type: 'asset', fileName: options.fileName, source });
    },
  };
  return { page, worker };
}

/** Adds the folder of the installed package that a module belongs to, if it belongs to one. */
function addPackage(folders: Set<string>, id: string): void {
  const path = id.replace(/^\0/, '').replace(/\?.*$/, '');
  const found = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
  if (found?.[1] && existsSync(join(found[1], 'package.json'))) folders.add(found[1]);
}

function readNotice(folder: string, standard: string): Notice {
  const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const texts = readTexts(folder, licenceFile);
  if (texts.length === 0) {
    const text = join(standard, `${license}.txt`);
    if (!existsSync(text)) throw new Error(`${name}@${version} (${license}) has no licence file: add ${text}`);
    const holder = (typeof author === 'object' ? author?.name : author) ?? `the authors of ${name}`;
    texts.push(`Copyright (c) ${holder}\n\n${readFileSync(text, 'utf8').trim()}`);
  }
  return { name, version, licence: license, texts };
}

function readTexts(folder: string, wanted = /\.txt$/): string[] {
  return readdirSync(folder)
    .filter((file) => wanted.test(file) && !/\.[cm]?[jt]s$/.test(file))
    .sort()
    .map((file) => readFileSync(join(folder, file), 'utf8').replace(/\r\n?/g, '\n').trim());
}

/** Packages under the very same text share one entry, so that the file stays readable. */
function format(notices: Notice[], extra: string[]): string {
  const byText = new Map<string, string[]>();
  const sorted = notices.map((n) => ({ ...n, title: `${n.name} ${n.version} (${n.licence})` }));
  for (const { title, texts } of sorted.sort((a, b) => (a.title < b.title ? -1 : 1))) {
    const text = texts.join('\n\n');
    const titles = byText.get(text) ?? [];
    if (!titles.includes(title)) titles.push(title);
    byText.set(text, titles);
  }
  const entries = [...byText].map(([text, titles]) => `${titles.join('\n')}\n\n${text}`);
  const rule = `\n\n${'-'.repeat(80)}\n\n`;
  return `${['The web pages of Coexist contain the following software and fonts.', ...entries, ...extra].join(rule)}\n`;
}
