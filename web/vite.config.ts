/// <reference types="vitest/config" />
import { lingui } from "@lingui/vite-plugin";
import babel from "@rolldown/plugin-babel";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [
    react(),
    babel({ plugins: ["@lingui/babel-plugin-lingui-macro"], include: /src\/.*\.tsx?$/ }),
    lingui({ failOnMissing: true, failOnCompileError: true }),
  ],
  server: {
    host: "127.0.0.1",
    proxy: { "/api": { target: process.env.PROCMON_URL ?? "http://127.0.0.1:8080" } },
  },
  worker: { format: "es" },
  build: {
    target: ["chrome123", "firefox120", "safari17.5"],
    // Everything but index.html and the favicon carries a hash, so the server may cache it for ever.
    assetsDir: "assets",
    // A data: URI would need another source in the Content-Security-Policy.
    assetsInlineLimit: 0,
    license: { fileName: "third-party.txt" },
    // The budget script reads which chunk belongs to which page.
    manifest: true,
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/test-setup.ts"],
    restoreMocks: true,
  },
});
