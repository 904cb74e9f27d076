// What a person does in GraphiQL: choose a tab, run an operation, read the answer.
// Answers are read from the wire, because the editor shows only the lines in view.

import assert from 'node:assert/strict';

const modifier = process.platform === 'darwin' ? 'Meta' : 'Control';

export class GraphiQL {
  constructor(page) {
    this.page = page;
  }

  /** Opens the page and waits until it has the server's schema. */
  async open() {
    const schema = this.answerTo('IntrospectionQuery');
    const response = await this.page.goto('/playground');
    assert.equal(response.status(), 200, `GET /playground answers ${response.status()}`);
    const { data, errors } = await schema;
    assert.ok(data?.__schema, `the introspection query failed: ${JSON.stringify(errors)}`);
    await this.runButton().waitFor();
  }

  runButton() {
    return this.page.getByRole('button', { name: /^Execute query/ });
  }

  /** The titles of all tabs, in order. */
  tabs() {
    return this.page.getByRole('tab').allInnerTexts();
  }

  /**
   * Brings a tab to the front and waits until GraphiQL has parsed its text: it does so a moment
   * after the text shows, and until then the run button belongs to the tab before. It keeps the
   * text in the storage in the same breath, which is how we know.
   */
  async selectTab(title) {
    await this.page.getByRole('tab', { name: title, exact: true }).click();
    await this.page.waitForFunction((name) => localStorage.getItem('graphiql:query')?.includes(` ${name}`), title);
  }

  /** The JSON answer to the next operation of that name over HTTP. */
  async answerTo(operationName) {
    const response = await this.page.waitForResponse((candidate) => {
      const request = candidate.request();
      if (request.method() !== 'POST' || new URL(candidate.url()).pathname !== '/graphql') return false;
      return request.postDataJSON()?.operationName === operationName;
    });
    return response.json();
  }

  /**
   * Runs an operation of the tab in front and returns its data; an error fails. Where the tab
   * holds several operations, the run button opens a menu of them.
   */
  async run(operationName, { several = false } = {}) {
    const answer = this.answerTo(operationName);
    await this.runButton().and(this.page.locator(several ? '[aria-haspopup]' : ':not([aria-haspopup])')).click();
    if (several) await this.page.getByRole('menuitem', { name: operationName, exact: true }).click();
    const { data, errors } = await answer;
    assert.equal(errors, undefined, `${operationName} answers with errors: ${JSON.stringify(errors, null, 2)}`);
    await this.waitUntilShown('"data"');
    return data;
  }

  /** Runs the subscription of the tab in front until it completes and returns what it sent. */
  async subscribe() {
    const socketOpened = this.page.waitForEvent('websocket');
    await this.runButton().click();
    const socket = await socketOpened;
    const events = [];
    return new Promise((resolve, reject) => {
      socket.on('close', () => reject(new Error(`the socket closed before the subscription completed: ${events.length} events`)));
      socket.on('framereceived', ({ payload }) => {
        const message = JSON.parse(payload.toString());
        if (message.type === 'error') reject(new Error(`the subscription failed: ${JSON.stringify(message.payload)}`));
        if (message.type === 'next') events.push(message.payload);
        if (message.type === 'complete') resolve(events);
      });
    });
  }

  /**
   * Opens the variables of the tab in front, which must be one variable with an empty string, and
   * types a value between its quotes.
   */
  async fillVariable(value) {
    await this.page.getByRole('button', { name: 'Variables', exact: true }).click();
    const editor = this.page.locator('.graphiql-editor-tool .graphiql-editor:not(.hidden) .monaco-editor').first();
    await editor.click();
    const keys = [`${modifier}+${modifier === 'Meta' ? 'ArrowUp' : 'Home'}`, 'ArrowDown', 'End', 'ArrowLeft'];
    for (const key of keys) await this.page.keyboard.press(key);
    await this.page.keyboard.insertText(value);
    await editor.getByText(value).first().waitFor();
  }

  /** Waits until the answer pane shows a text. */
  async waitUntilShown(text) {
    await this.page.locator('.graphiql-response').getByText(text).first().waitFor();
  }

  /** Waits until nothing runs any more: the stop button has become the run button again. */
  async waitUntilIdle() {
    await this.runButton().waitFor();
    await this.page.locator('.graphiql-spinner').waitFor({ state: 'hidden' });
  }

  /**
   * Waits until GraphiQL has kept what the tab in front holds, which it does half a second after
   * the last change. A page that is left earlier comes back with a tab more.
   */
  async waitUntilKept() {
    await this.page.waitForFunction(() => {
      const kept = (key) => localStorage.getItem(`graphiql:${key}`) ?? '';
      const { tabs, activeTabIndex } = JSON.parse(kept('tabState'));
      const { query, variables } = tabs[activeTabIndex];
      return (query ?? '') === kept('query') && (variables ?? '') === kept('variables');
    });
  }

  async showPlugin(name) {
    await this.page.getByRole('button', { name: `Show ${name}` }).click();
  }

  async hidePlugin(name) {
    await this.page.getByRole('button', { name: `Hide ${name}` }).click();
  }
}
