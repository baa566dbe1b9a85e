// What people see, in Chromium: the page at two widths, light and dark, and the badge.
// Usage: node page.mjs CHROMIUM PLAYWRIGHT BUILDS
// CHROMIUM is the browser, PLAYWRIGHT the module that drives it, BUILDS the folder of the builds that page.sh makes.
// Environment: SCREENSHOTS, a folder for pictures of the page. Closes as cmocka does.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

const [executablePath, playwright, builds] = process.argv.slice(2);
const { chromium } = await import(resolve(playwright));

const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 800 };
const LOOKS = [
    { name: 'phone', viewport: PHONE, colorScheme: 'light' },
    { name: 'phone-dark', viewport: PHONE, colorScheme: 'dark' },
    { name: 'desktop', viewport: DESKTOP, colorScheme: 'light' },
    { name: 'desktop-dark', viewport: DESKTOP, colorScheme: 'dark' },
];
const ENDPOINTS = ['version', 'healthz', 'readyz', 'metrics', 'openapi.json', 'badge.svg'];

// Starts a build. `origin` is where it listens; stop() ends it, and returns what was requested.
async function serve(build, ...flags) {
    const child = spawn(`${builds}/${build}/program`,
        ['--address', '127.0.0.1', '--port', '0', '--log-format', 'json', '--access-log', 'all', ...flags],
        { env: {}, stdio: ['ignore', 'inherit', 'pipe'] });
    const ended = once(child, 'close');
    const events = [];
    const listening = new Promise((found, failed) => {
        const lines = createInterface({ input: child.stderr });
        lines.on('line', (line) => {
            events.push(JSON.parse(line));
            if (events.at(-1).msg === 'listening')
                found(events.at(-1).port);
        });
        ended.then(() => failed(new Error('it ended before it listened')));
    });
    const origin = `http://127.0.0.1:${await listening}`;

    return {
        origin,
        async stop() {
            child.kill('SIGTERM');
            assert.deepEqual(await ended, [0, null]);
            return events.filter((event) => event.msg === 'request').map((event) => event.path);
        },
    };
}

async function withServer(build, flags, use) {
    const server = await serve(build, ...flags);
    let requested;

    try {
        await use(server.origin);
    } finally {
        requested = await server.stop();
    }
    return requested;
}

// Opens an address in a context of its own, and checks that the browser has nothing to say about it.
async function withPage(url, look, use) {
    const { viewport, colorScheme, javaScriptEnabled } = look;
    const context = await browser.newContext({ viewport, colorScheme, javaScriptEnabled });
    const page = await context.newPage();
    const said = [];

    page.on('console', (message) => said.push(message.text()));
    page.on('pageerror', (error) => said.push(String(error)));
    page.on('requestfailed', (request) => said.push(`${request.url()}: ${request.failure().errorText}`));
    try {
        const response = await page.goto(url);

        assert.equal(response.status(), 200);
        await use(page, response);
        assert.deepEqual(said, []);
    } finally {
        await context.close();
    }
}

// The contrast (WCAG 2, 1.4.3) of every text on the page, and the lightness of the page itself. Runs in the browser.
function measureColours() {
    const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
    const luminance = (rgb) => rgb.slice(0, 3)
        .map((value) => value / 255)
        .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
        .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (element) => {
        const colour = parse(getComputedStyle(element).backgroundColor);

        return colour[3] === 0 ? behind(element.parentElement) : colour;
    };
    const texts = [...document.body.querySelectorAll('*')].filter((element) =>
        [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== ''));

    return {
        page: luminance(behind(document.body)),
        contrasts: texts.map((element) => {
            const [low, high] = [luminance(parse(getComputedStyle(element).color)), luminance(behind(element))]
                .sort((a, b) => a - b);

            return { text: element.textContent.slice(0, 40), contrast: (high + 0.05) / (low + 0.05) };
        }),
    };
}

async function expectReadable(page, colorScheme) {
    const colours = await page.evaluate(measureColours);

    assert.ok(colorScheme === 'dark' ? colours.page < 0.05 : colours.page > 0.9, `a page of luminance ${colours.page}`);
    assert.ok(colours.contrasts.length >= 10);
    assert.deepEqual(colours.contrasts.filter(({ contrast }) => contrast < 4.5), []);
}

// Nothing is wider than the window, nor written over its edge.
async function expectNoSidewaysScrolling(page) {
    assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('*')]
        .filter((element) => element.scrollWidth > innerWidth || element.getBoundingClientRect().right > innerWidth)
        .map((element) => element.outerHTML.slice(0, 80))), []);
}

// Everything that /version says, as it says it.
async function expectFacts(page, origin) {
    const facts = await (await fetch(`${origin}/version`)).json();
    const text = await page.evaluate(() => document.body.textContent);
    const away = await page.evaluate(() => [...document.links]
        .map((link) => [link.getAttribute('href'), link.textContent])
        .filter(([href]) => href.includes(':')));

    for (const name of ['name', 'version', 'commit', 'description', 'build_date'])
        assert.ok(text.includes(facts[name]), `${name} is not on the page: ${facts[name]}`);
    assert.deepEqual(away, [[facts.source, facts.commit], [facts.build, facts.build]].filter(([href]) => href));
    assert.equal(await page.title(), `${facts.name} ${facts.version}`);
    return facts;
}

// That nothing the build was told has become markup.
async function expectOwnMarkupOnly(page) {
    const names = await page.evaluate(() => [...document.querySelectorAll('*')].map((element) => element.localName));

    assert.deepEqual([...new Set(names)].sort(), ['a', 'b', 'body', 'code', 'dd', 'dl', 'dt', 'h1', 'head', 'html', 'img',
        'link', 'main', 'meta', 'nav', 'p', 'style', 'time', 'title']);
    assert.equal(names.filter((name) => name === 'img').length, 1);
}

async function expectBadgeShown(image, version) {
    await image.evaluate((element) => element.decode());
    assert.equal(await image.evaluate((element) => element.naturalWidth), 73 + 7 * version.length);
    assert.equal(await image.evaluate((element) => element.naturalHeight), 20);
}

// Nothing is below the main element.
async function takePicture(page, name) {
    const { width } = page.viewportSize();
    const { height } = await page.locator('main').boundingBox();

    await page.screenshot({ path: `${process.env.SCREENSHOTS}/page-${name}.png`, clip: { x: 0, y: 0, width, height } });
}

const page_is_right_in_every_look = (build) => async () => {
    for (const look of LOOKS) {
        const requested = await withServer(build, [], async (origin) => {
            await withPage(`${origin}/`, look, async (page) => {
                const facts = await expectFacts(page, origin);

                await expectOwnMarkupOnly(page);
                await expectNoSidewaysScrolling(page);
                await expectReadable(page, look.colorScheme);
                await expectBadgeShown(page.locator('img'), facts.version);
                if (process.env.SCREENSHOTS && build === 'full')
                    await takePicture(page, look.name);
            });
        });

        // The server itself says that nobody asked for more, such as /favicon.ico.
        assert.deepEqual(requested.sort(), ['/', '/badge.svg', '/version']);
    }
};

const links_answer = (prefix) => async () => {
    await withServer('full', ['--base-path', '/some/prefix'], async (origin) => {
        await withPage(`${origin}${prefix}/`, LOOKS[0], async (page) => {
            const links = await page.evaluate(() => [...document.links].map((link) => link.href)
                .filter((href) => href.startsWith(location.origin)));

            assert.deepEqual(links, ENDPOINTS.map((path) => `${origin}${prefix}/${path}`));
            for (const link of links)
                assert.equal((await fetch(link)).status, 200, link);
            await expectBadgeShown(page.locator('img'), '1.4.2');
        });
    });
};

const tests = {
    page_of_a_full_build_is_right: page_is_right_in_every_look('full'),
    page_of_the_least_build_is_right: page_is_right_in_every_look('least'),
    page_of_a_foul_build_is_right: page_is_right_in_every_look('foul'),
    links_of_the_page_answer: links_answer(''),
    links_of_the_page_answer_below_a_base_path: links_answer('/some/prefix'),

    async page_without_scripts_looks_the_same() {
        await withServer('full', [], async (origin) => {
            const pictures = [];

            for (const javaScriptEnabled of [true, false]) {
                await withPage(`${origin}/`, { ...LOOKS[0], javaScriptEnabled }, async (page) => {
                    pictures.push(await page.screenshot());
                });
            }
            assert.ok(pictures[0].equals(pictures[1]));
        });
    },

    // Whoever runs the repository need not learn where the service runs.
    async links_away_name_no_referrer() {
        await withServer('full', [], async (origin) => {
            await withPage(`${origin}/`, LOOKS[0], async (page) => {
                await page.route('https://example.org/**', (route) => route.fulfill({ body: 'there' }));
                const asked = page.waitForRequest('https://example.org/team/service');
                await page.click('dd a');
                assert.equal((await (await asked).allHeaders()).referer, undefined);
                await page.waitForURL('https://example.org/team/service');
            });
        });
    },

    // Frames are refused, and the console says so.
    async page_cannot_be_framed() {
        await withServer('full', [], (origin) => withOther(`<iframe src="${origin}/"></iframe>`, async (other) => {
            const context = await browser.newContext();
            const page = await context.newPage();
            const refused = page.waitForEvent('console', (message) => message.text().includes('frame-ancestors'));

            await page.goto(other);
            await refused;
            await context.close();
        }));
    },

    async badge_is_shown_by_pages_of_others() {
        await withServer('full', [], (origin) => withOther(`<img src="${origin}/badge.svg">`, (other) =>
            withPage(other, LOOKS[0], (page) => expectBadgeShown(page.locator('img'), '1.4.2'))));
    },

    async badge_has_its_text_within_its_edges() {
        for (const build of ['full', 'foul']) {
            await withServer(build, [], (origin) => withPage(`${origin}/badge.svg`, LOOKS[0], async (page) => {
                const boxes = await page.evaluate(() => [...document.querySelectorAll('text')].map((text) => {
                    const { x, width } = text.getBBox();

                    return [x, Math.round(x + width), text.textLength.baseVal.value];
                }));
                const wanted = (await page.evaluate(() => document.querySelectorAll('text')[1].textContent)).length * 7;

                assert.deepEqual(boxes, [[6, 55, 49], [67, 67 + wanted, wanted]]);
                assert.equal(await page.evaluate(() => document.documentElement.width.baseVal.value), 73 + wanted);
            }));
        }
    },
};

// Serves a page of another origin.
async function withOther(html, use) {
    const server = createServer((request, response) => {
        response.setHeader('Content-Type', 'text/html');
        response.end(`<!DOCTYPE html><link rel="icon" href="data:,">${html}`);
    });

    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
        await use(`http://localhost:${server.address().port}/`);
    } finally {
        server.closeAllConnections();
        server.close();
    }
}

const browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync'],
});
let failed = 0;

for (const [name, test] of Object.entries(tests)) {
    console.log(`[ RUN      ] ${name}`);
    try {
        await test();
        console.log(`[       OK ] ${name}`);
    } catch (error) {
        console.log(`${error.stack}\n[  FAILED  ] ${name}`);
        failed += 1;
    }
}
await browser.close();
console.log(`[  PASSED  ] ${Object.keys(tests).length - failed} test(s).`);
if (failed > 0)
    console.log(`[  FAILED  ] ${failed} test(s).`);
process.exitCode = failed > 0 ? 1 : 0;
