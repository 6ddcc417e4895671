import type { Eyes } from "../eyes.ts";
import type { Photo } from "../types.ts";
import { announce } from "../ui/announce.tsx";
import { leaveOut } from "../ui/left-out.ts";
import { count } from "../words.ts";
import { asDecided, type Items, isOverruled, mayPass } from "./list.ts";

/** What a moderator may decide, and show to everybody. Whoever asks need not say why something is left out: that is said here. */
interface Rule {
  /** Of these, those that may be decided, or given a category. */
  decidable(asked: Items): Items;
  /** Of these, those that may be left to another moderator. */
  passable(asked: Items): Items;
  /**
   * Of these, those that may be shown: one that is judged alone was seen large, of many the cards were, and large those
   * that may have people.
   */
  showable(asked: Items): Items;
  /** Whether this photo may be shown as it was at `asOf`, after another decided it; undefined: it left the list. */
  showsAnew(photo: Photo | undefined, asOf: string | null): boolean;
}

export function createRule(eyes: Pick<Eyes, "unseen" | "refuses">): Rule {
  /** Why one that is judged alone is not shown. The frame of its picture says where it has not come, and not where it is too small. */
  const whyNot = (photo: Photo): string => {
    const waits = eyes.unseen(photo, "large") === "not seen";
    return eyes.refuses(photo) + (waits ? ": z enlarges it" : "");
  };
  const allows = (why: string): boolean => {
    if (why) leaveOut(why);
    return !why;
  };
  return {
    decidable(asked) {
      const left = asked.filter((item) => !isOverruled(item));
      if (left.length === 0 && asked.length > 0) announce(OVERRULED);
      return left;
    },
    passable(asked) {
      const left = asked.filter(mayPass);
      const many = asked.length - left.length;
      if (asked.length > 1 && many > 0) {
        leaveOut(
          `${count(many, "photo")} ${many === 1 ? "was" : "were"} decided before, and ${many === 1 ? "stays" : "stay"} so`,
        );
      } else if (many > 0) leaveOut(asked[0]!.decision!.verdict === "unsure" ? PASSED : DECIDED);
      return left;
    },
    showable(asked) {
      const [first, ...more] = asked;
      if (!first) return [];
      if (more.length === 0) return allows(whyNot(asDecided(first))) ? asked : [];
      const whys = asked.map((item) => eyes.unseen(asDecided(item), "card"));
      const parts = (["blurred", "not seen", "only seen small"] as const).flatMap((why) => {
        const many = whys.filter((each) => each === why).length;
        return many > 0 ? `${many} ${why}` : [];
      });
      if (parts.length > 0) leaveOut(`Not shown, and still selected: ${parts.join(", ")}`);
      return asked.filter((_, index) => !whys[index]);
    },
    showsAnew: (photo, asOf) => allows(photo && photo.asOf === asOf ? whyNot(photo) : LOOK_ANEW),
  };
}

const PASSED = "You left it to another moderator already";
const DECIDED = "You decided it already: take that back first";
const LOOK_ANEW = "It may be another picture by now: look at it first, on its own page";
const OVERRULED = "It was decided, replaced or removed meanwhile: no key decides it again";
