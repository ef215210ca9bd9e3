import { describe, expect, it } from "vitest";
import { ColumnStore } from "../../api/columnStore.ts";
import { suggest } from "./suggest.ts";

const store = new ColumnStore();
store.replace({
  agent_id: ["a", "a", "b"],
  process_id: ["1", "2", "3"],
  name: ["nginx", "my app", "nginx"],
  username: ["root", "www-data", "root"],
});
const texts = (input: string, caret = input.length) =>
  suggest(input, caret, store).map((one) => one.text);

describe("suggestions", () => {
  it("completes the name of a field with the operator that suits it", () => {
    expect(texts("us")).toEqual(["user:"]);
    expect(texts("cpu>5 -mem")).toEqual(["-mem>"]);
    expect(texts("pi")).toEqual(["pid:"]);
  });

  it("offers values by how many processes have them", () => {
    expect(suggest("user:", 5, store).map(({ text, count }) => [text, count])).toEqual([
      ["user:root ", 2],
      ["user:www-data ", 1],
    ]);
    expect(texts("name:app")).toEqual(['name:"my app" ']);
  });

  it("replaces the word at the caret", () => {
    expect(suggest("host:x cpu>1", 6, store)).toEqual([]);
    expect(suggest("us cpu>1", 2, store)[0]).toMatchObject({ start: 0, end: 2 });
  });

  it("is silent where it knows nothing better", () => {
    for (const input of ["", "user:root", "cpu>5", "zzz", "pid:1", "-"])
      expect(texts(input)).toEqual([]);
  });
});
