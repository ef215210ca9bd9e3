/** Puts the chosen theme and language on the document. */
import { i18n } from "@lingui/core";
import { getPreferences, watchPreferences } from "../ui/preferences.ts";

const CATALOGS = {
  en: () => import("../locales/en.po"),
  "zh-CN": () => import("../locales/zh-CN.po"),
};

export async function startLook(): Promise<void> {
  watchPreferences(() => void apply());
  await apply();
}

async function apply(): Promise<void> {
  const { theme, language } = getPreferences();
  const root = document.documentElement;
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  if (i18n.locale === language) return;
  const { messages } = await CATALOGS[language]();
  i18n.loadAndActivate({ locale: language, messages });
  root.lang = language;
}
