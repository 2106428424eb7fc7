// What a browser is, from what it says of itself. Pure. A help for the eye, not a proof of anything.

/** In this order: most say that they are several. */
const BROWSERS: [RegExp, string][] = [[/\bEdg(e|A|iOS)?\//, 'Edge'], [/\bOPR\//, 'Opera'], [/\b(Firefox|FxiOS)\//, 'Firefox'], [/\bHeadlessChrome\//, 'Headless Chrome'], [/\b(Chrome|CriOS|Chromium)\//, 'Chrome'], [/\bSafari\//, 'Safari']];
const SYSTEMS: [RegExp, string][] = [[/\b(iPhone|iPad|iPod)\b/, 'iOS'], [/\bAndroid\b/, 'Android'], [/\bWindows\b/, 'Windows'], [/\bMac OS X\b/, 'macOS'], [/\bCrOS\b/, 'ChromeOS'], [/\bLinux\b/, 'Linux']];

/** "Firefox on Linux". */
export function browserName(agent: string): string {
  const found = (all: [RegExp, string][]) => all.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [found(BROWSERS), found(SYSTEMS)];
  if (!browser) return agent.slice(0, 40) || 'Not known';
  return system ? `${browser} on ${system}` : browser;
}
