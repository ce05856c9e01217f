import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inflateSync } from 'node:zlib';
import { expect } from 'chai';
import { execa } from 'execa';
import { findProgram } from '../../kernels/requirements.ts';
import { aDifference, aRecord, aRun, BROKEN } from '../../report/testing.ts';
import { LINUX_6_1 } from '../../revisions/linux-6.1.ts';
import type { SpecDiff } from '../spec-diff.ts';
import { CARELESS, diffOf, layoutsOf, POSTED, side } from '../testing.ts';
import { diffPage } from './index.ts';
import { anchor, html } from './markup.ts';

const pageOf = (diff: SpecDiff): string => [...diffPage(diff)].join('');

/** What breaks out of a text, an attribute, a style, a comment, or a script, where it is not escaped. */
const NASTY = `"'></title></style><!--<script>document.title='run'</script><img src="http://x.invalid/" onerror="document.title='run'">&amp;`;

/** Everything that the page has, with hostile text wherever a run can bring some. */
const everything = (): SpecDiff => {
  const broken = { clause: NASTY, says: NASTY, source: NASTY, call: NASTY, expected: NASTY, observed: NASTY };
  const run = aRun(
    [
      aDifference(NASTY, {
        id: NASTY,
        clause: NASTY,
        reason: NASTY,
        broken: [broken],
        known: { id: NASTY, reason: NASTY },
      }),
      aDifference('anew', { broken: [BROKEN, broken] }),
      aRecord('mended'),
    ],
    { kernel: NASTY, startedAt: NASTY, arguments: [NASTY], host: { name: NASTY, description: NASTY, iommu: NASTY } },
  );
  const before = aRun([aRecord('anew'), aDifference('mended'), aRecord('gone')]);
  const named = { ...side(POSTED, run), name: NASTY, revision: { ...POSTED, id: NASTY, summary: NASTY } };
  return diffOf(side(LINUX_6_1, before), named, { structsOf: layoutsOf });
};

describe('diff/page', () => {
  it('needs nothing from elsewhere and runs nothing', () => {
    const page = pageOf(everything());
    const own = page.replace(/&[a-z#0-9]+;/g, '');
    expect(own).not.to.match(/<(?:script|link|img|iframe|object|embed|form|base)\b/i);
    expect(own.match(/\b(?:src|href)="[^"]*"/g)?.filter((one) => !one.startsWith('href="#'))).to.deep.equal([]);
    expect(own.match(/url\([^)]*\)|@import/g)).to.deep.equal(['url(#hatch)']);
    expect(page.replaceAll('&#39;', "'")).to.include(`content="default-src 'none'; style-src 'unsafe-inline'; `);
  });

  it('escapes what comes from outside', () => {
    expect(html`<p title="${NASTY}">${NASTY}</p>`.markup).to.match(/^<p title="[^<>"']*">[^<>"']*<\/p>$/);
    expect(anchor('clause', NASTY)).to.match(/^clause-[A-Za-z0-9-]+$/);
  });

  it('links only to what it has', () => {
    for (const diff of [everything(), diffOf(side(LINUX_6_1), side(CARELESS))]) {
      const page = pageOf(diff);
      const ids = new Set([...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
      const links = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id);
      expect(links.length).to.be.greaterThan(4);
      expect(links.filter((id) => !ids.has(id))).to.deep.equal([]);
    }
  });

  it('sets unintended differences apart', () => {
    const page = pageOf(diffOf(side(LINUX_6_1), side(CARELESS)));
    const [, unintended = '', intended = ''] = page.split(/<section id="(?:un)?intended">/);
    expect(unintended.match(/<article/g)).to.have.length(2);
    expect(intended).not.to.include('class="badge bad"');
  });
});

describe('diff/page in a browser', function () {
  this.timeout(120_000);
  let browser: string | undefined;
  let folder: string;

  before(async function () {
    browser = await findProgram('chromium');
    if (browser === undefined) {
      console.log('      skipped: no browser to look at the page with (Debian: chromium)');
      this.skip();
    }
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-page-'));
    await writeFile(join(folder, 'page.html'), pageOf(everything()));
  });
  after(() => (folder === undefined ? undefined : rm(folder, { recursive: true, force: true, maxRetries: 5 })));

  /** Runs the browser on the page, with a profile of its own. */
  const look = async (...options: readonly string[]): Promise<string> => {
    const page = pathToFileURL(join(folder, 'page.html')).href;
    const common = ['--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--no-pdf-header-footer'];
    const args = [...common, `--user-data-dir=${join(folder, 'profile')}`, '--window-size=1100,900', ...options, page];
    const { stdout } = await execa(browser ?? 'chromium', args, { timeout: 60_000, stdin: 'ignore' });
    return stdout;
  };

  it('is the document that was written: nothing breaks out of its place', async () => {
    const dom = await look('--dump-dom');
    const count = (text: string, sign: RegExp): number => text.match(sign)?.length ?? 0;
    const written = pageOf(everything());
    for (const sign of [/<article/g, /<section/g, /<svg/g, /<rect/g, /<tr/g, /<details/g, /<li>/g]) {
      expect(count(dom, sign), String(sign)).to.equal(count(written, sign)).and.greaterThan(0);
    }
    expect(dom).not.to.match(/<script|<img|<!--/);
    expect(dom).to.match(/<title>linux-6\.1|<title>reports\/a-run/);
    expect(dom.trimEnd()).to.match(/<\/footer>\s*<\/body><\/html>$/);
  });

  it('is light on a light screen and dark on a dark one', async () => {
    const pictures = await Promise.all(
      [1, 0].map(async (scheme) => {
        const file = join(folder, `scheme-${scheme}.png`);
        // Two browsers at once cannot share a profile.
        await look(
          `--user-data-dir=${file}.profile`,
          `--blink-settings=preferredColorScheme=${scheme}`,
          `--screenshot=${file}`,
        );
        return pictureOf(await readFile(file));
      }),
    );
    const [light, dark] = pictures;
    expect([light?.width, light?.height]).to.deep.equal([1100, 900]);
    expect(light?.corner).to.deep.equal([0xfb, 0xfb, 0xf9]);
    expect(dark?.corner).to.deep.equal([0x14, 0x16, 0x1a]);
  });

  it('can be printed', async () => {
    const file = join(folder, 'page.pdf');
    await look(`--print-to-pdf=${file}`);
    const pdf = await readFile(file);
    expect(pdf.subarray(0, 5).toString()).to.equal('%PDF-');
    expect(pdf.length).to.be.greaterThan(10_000);
  });
});

/** Size and upper left pixel of a PNG of 8 bits a channel. No filter changes that pixel: nothing is left of it or above. */
const pictureOf = (png: Buffer): { width: number; height: number; corner: readonly number[] } => {
  const data: Buffer[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT')
      data.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  const pixels = inflateSync(Buffer.concat(data));
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20), corner: [...pixels.subarray(1, 4)] };
};
