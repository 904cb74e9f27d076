import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzip } from 'pako';
import type { Plugin } from 'vite';

/** A file is kept compressed only if that saves at least this share of it. */
const worthwhile = 0.1;

/**
 * Replaces each written file by FILE.gz where that is worth it; the server unpacks it for the
 * rare client that does not accept gzip. Files named in `plain` stay as they are.
 *
 * The result depends on the content alone: the header holds no time and no operating system,
 * and the compressor is written in JavaScript, because zlib's own output differs between
 * processors and Node releases.
 */
export function precompress(options: { plain: string[] }): Plugin {
  return {
    name: 'coexist:precompress',
    apply: 'build',
    enforce: 'post',
    writeBundle({ dir }) {
      if (!dir) throw new Error('the build has no output folder');
      for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
        if (entry.isFile() && !options.plain.includes(entry.name)) compress(join(entry.parentPath, entry.name));
      }
    },
  };
}

function compress(path: string): void {
  const content = readFileSync(path);
  const packed = gzip(content, { level: 9 });
  if (packed.length > content.length * (1 - worthwhile)) return;
  writeFileSync(`${path}.gz`, packed);
  rmSync(path);
}
