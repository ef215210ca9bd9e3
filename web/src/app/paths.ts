/** The pages there are, with the letter that goes to each after `g`. */
import type { MessageDescriptor } from "@lingui/core";
import { msg } from "@lingui/core/macro";

export type PagePath = "/processes" | "/events" | "/agents";
export type Page = { path: PagePath; letter: string; label: MessageDescriptor };

export const PAGES: readonly Page[] = [
  { path: "/processes", letter: "p", label: msg`Processes` },
  { path: "/events", letter: "e", label: msg`Events` },
  { path: "/agents", letter: "a", label: msg`Agents` },
];
