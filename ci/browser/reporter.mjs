// Reports the tests of `node --test` line by line, and ends with `N passed, N failed`.

export default async function* report(events) {
  let passed = 0, failed = 0;
  for await (const { type, data } of events) {
    if (type === "test:pass") {
      passed += 1;
      yield `ok      ${data.name} (${Math.round(data.details.duration_ms)} ms)\n`;
    } else if (type === "test:fail") {
      failed += 1;
      const { cause, message } = data.details.error;
      const details = String(cause?.stack ?? cause ?? message).replaceAll("\n", "\n        ");
      yield `FAILED  ${data.name}\n        ${details}\n`;
    } else if (type === "test:stderr") {
      yield data.message;
    }
  }
  yield `${passed} passed, ${failed} failed\n`;
}
