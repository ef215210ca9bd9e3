import { defineConfig } from "@lingui/conf";
import { formatter } from "@lingui/format-po";

export default defineConfig({
  sourceLocale: "en",
  locales: ["en", "zh-CN"],
  catalogs: [
    { path: "<rootDir>/src/locales/{locale}", include: ["src"], exclude: ["src/**/*.test.*"] },
  ],
  format: formatter({ origins: false, lineNumbers: false }),
  orderBy: "message",
});
