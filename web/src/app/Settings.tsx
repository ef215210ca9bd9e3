import { useLingui } from "@lingui/react/macro";
import { clock, zoneName } from "../ui/format.ts";
import { type Preferences, setPreferences, usePreferences } from "../ui/preferences.ts";
import { useNow } from "../ui/useNow.ts";
import styles from "./Layout.module.css";

export function Settings() {
  const { t } = useLingui();
  const { theme, language } = usePreferences();
  return (
    <div className={styles.settings}>
      <Time />
      <select
        aria-label={t`Theme`}
        value={theme}
        onChange={(event) => setPreferences({ theme: event.target.value as Preferences["theme"] })}
      >
        <option value="system">{t`System theme`}</option>
        <option value="dark">{t`Dark`}</option>
        <option value="light">{t`Light`}</option>
      </select>
      <select
        aria-label={t`Language`}
        value={language}
        onChange={(event) =>
          setPreferences({ language: event.target.value as Preferences["language"] })
        }
      >
        <option value="en">English</option>
        <option value="zh-CN">简体中文</option>
      </select>
    </div>
  );
}

/** The time now, in the zone in which every time on the page is written. */
function Time() {
  const { t } = useLingui();
  const { utc } = usePreferences();
  const now = new Date(useNow(1000));
  return (
    <button
      type="button"
      className={styles.time}
      title={
        utc
          ? t`Times are in UTC. Click for this computer's zone.`
          : t`Times are in this computer's zone. Click for UTC.`
      }
      onClick={() => setPreferences({ utc: !utc })}
    >
      {clock(now, utc)} {zoneName(now, utc)}
    </button>
  );
}
