// A browser without memory that keeps a record of everything a page must not do.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * Opens a browser with a new, empty profile and one page. `faults` grows with what goes wrong:
 * requests to other hosts, failed requests, policy violations, console errors, exceptions.
 */
export async function openBrowser(baseURL) {
  const profile = await mkdtemp(join(tmpdir(), 'coexist-e2e-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    args,
    headless: true,
    baseURL,
    viewport: { width: 1440, height: 900 },
  });
  const faults = [];
  // A worker's or a socket's address is checked like any other.
  const host = new URL(baseURL).host;
  const checkHost = (url, what) => {
    const { protocol, host: asked } = new URL(url);
    if (!['data:', 'blob:'].includes(protocol) && asked !== host) faults.push(`${what} to another host: ${url}`);
  };
  context.on('request', (request) => checkHost(request.url(), 'request'));
  context.on('requestfailed', (request) => {
    faults.push(`request failed: ${request.url()}: ${request.failure()?.errorText}`);
  });
  context.on('response', (response) => {
    if (response.status() >= 400) faults.push(`status ${response.status()}: ${response.url()}`);
  });
  context.on('console', (message) => {
    if (message.type() === 'error') faults.push(`console error: ${message.text()} (${message.location().url})`);
  });
  context.on('weberror', (webError) => faults.push(`exception: ${webError.error().stack}`));

  // A violation by a style or an image shows in the console only for some directives.
  await context.exposeBinding('reportViolation', (_source, text) => faults.push(`policy violation: ${text}`));
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      window.reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile ?? ''}`);
    });
  });

  const page = context.pages()[0] ?? (await context.newPage());
  page.on('websocket', (socket) => {
    checkHost(socket.url(), 'WebSocket');
    socket.on('socketerror', (error) => faults.push(`WebSocket: ${error}`));
  });

  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { page, faults, close };
}
