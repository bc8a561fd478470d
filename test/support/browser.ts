// Chromium without a window, on a profile of its own that goes with it, and pages that complain when something in them goes wrong.
import { type Browser, chromium, type Page } from 'playwright-core';
import { DEADLINE_MS } from './inbox.ts';
import { requirement } from './requirements.ts';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export class ChromiumBrowser {
  private readonly browser: Browser;
  private readonly problems: string[] = [];

  private constructor(browser: Browser) {
    this.browser = browser;
  }

  static async launch(): Promise<ChromiumBrowser> {
    return new ChromiumBrowser(
      await chromium.launch({ executablePath: requirement('chromium').path, headless: true, args: FLAGS }),
    );
  }

  /** A page in a context of its own: nothing is shared with other pages. */
  async open(url: string): Promise<Page> {
    const page = await this.browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(DEADLINE_MS);
    page.on('pageerror', (error) => this.problems.push(String(error)));
    page.on('console', (line) => {
      if (line.type() === 'error') this.problems.push(line.text());
    });
    await page.goto(url);
    return page;
  }

  /** What went wrong in pages since the last call. */
  takeProblems(): string[] {
    return this.problems.splice(0);
  }

  async close(): Promise<void> {
    await this.browser.close();
  }
}

/** The demo page of the broker, driven as a visitor would. */
export class DemoPage {
  readonly page: Page;

  private constructor(page: Page) {
    this.page = page;
  }

  /** Connected in both protocols, and subscribed. */
  static async open(browser: ChromiumBrowser, url: string): Promise<DemoPage> {
    const demo = new DemoPage(await browser.open(url));
    for (const protocol of ['mqtt', 'stomp'])
      await demo.page.waitForSelector(`#${protocol}-state[data-state=connected]`);
    return demo;
  }

  /** Shows these topics instead. Resolves when both subscriptions are in force. */
  async show(group: string): Promise<void> {
    await this.page.fill('#filter', `${group}/#`);
    await this.page.press('#filter', 'Enter');
    // A connection's own messages come after its subscription.
    for (const over of ['mqtt', 'stomp'] as const) {
      await this.publish(over, `${group}/page/is/ready`, over);
      await this.received(over, 'ready', over);
    }
  }

  /** Waits for a message in the list of what came over the protocol; resolves to the text of its row. */
  async received(over: 'mqtt' | 'stomp', where: string, payload: string): Promise<string> {
    const row = this.page
      .locator(`#${over}-feed li`)
      .filter({ has: this.page.locator('.where', { hasText: where }) })
      .filter({ has: this.page.getByText(payload, { exact: true }) })
      .first();
    await row.waitFor();
    return row.innerText();
  }

  async publish(over: 'mqtt' | 'stomp', topic: string, payload: string, retain = false): Promise<void> {
    await this.page.fill('#topic', topic);
    await this.page.fill('#payload', payload);
    await this.page.locator('.choice label', { hasText: over.toUpperCase() }).click();
    await this.page.setChecked('#retain', retain);
    await this.page.click('#publish button[type=submit]');
    await this.page.locator('#published', { hasText: `Published over ${over.toUpperCase()}` }).waitFor();
  }

  async close(): Promise<void> {
    await this.page.close();
  }
}
