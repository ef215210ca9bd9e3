import { type KeyboardEvent, useState } from "react";
import type { ColumnStore } from "../../api/columnStore.ts";
import { type Suggestion, suggest } from "./suggest.ts";

/** The list under the input: arrows choose, Enter or Tab takes, Escape closes. */
export function useSuggestions(
  input: React.RefObject<HTMLInputElement | null>,
  store: ColumnStore,
  onText: (text: string) => void,
) {
  const [offers, setOffers] = useState<Suggestion[]>([]);
  const [chosen, setChosen] = useState(-1);
  const show = (next: Suggestion[]) => {
    setOffers(next);
    setChosen(-1);
  };
  const look = () => {
    const element = input.current;
    if (element)
      show(suggest(element.value, element.selectionStart ?? element.value.length, store));
  };
  const choose = (offer: Suggestion | null) => {
    const element = input.current;
    show([]);
    if (!offer || !element) return;
    const value = element.value.slice(0, offer.start) + offer.text + element.value.slice(offer.end);
    onText(value);
    const caret = offer.start + offer.text.length;
    requestAnimationFrame(() => {
      element.setSelectionRange(caret, caret);
      look();
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const offer = offers[chosen];
    if (event.key === "Escape") {
      if (offers.length > 0) show([]);
      else input.current?.blur();
    } else if (event.key === "ArrowDown" && offers.length > 0) {
      setChosen((chosen + 1) % offers.length);
    } else if (event.key === "ArrowUp" && offers.length > 0) {
      setChosen((chosen <= 0 ? offers.length : chosen) - 1);
    } else if ((event.key === "Enter" || event.key === "Tab") && offer) {
      choose(offer);
    } else return;
    event.preventDefault();
  };
  return { offers, chosen, look, choose, onKeyDown };
}
