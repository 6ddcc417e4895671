"""model.json → card.md: what a model is good for, as it was measured."""


def card(model: dict) -> str:
    measured, trained = model["measured"], model["trainedFrom"]
    counts = measured["counts"]
    categories = "\n".join(f"| {name} | {counts[name]:,} | " + " | ".join(_interval(measured[f"{name}.{what}"], 3)
                           for what in ("precision", "recall", "f1")) + " |" for name in model["categories"])
    heads = "\n".join(f"| {what} | {_interval(measured[key], digits)} |" for what, key, digits in (
        ("category accuracy", "categoryAccuracy", 3), ("macro-F1", "macroF1", 3), ("human: average precision", "humanAveragePrecision", 4),
        ("category: expected calibration error", "categoryCalibrationError", 3), ("human: expected calibration error", "humanCalibrationError", 3),
        ("peak of human_map inside a person's box", "peakInBox", 3)) if measured[key])
    thresholds = "\n".join(f"| {row['human']} | " + " | ".join(_share(row[key], row["intervals"][key]) for key in (
        "shown", "smallShown", "freeFoodAndAmbienceHeld", "likenessesHeld")) + " |" for row in measured["thresholds"])
    confusion = "\n".join(f"| {name} | " + " | ".join(f"{count:,}" for count in row) + " |"
                          for name, row in zip(model["categories"], measured["confusion"]))
    int8 = measured["int8"]
    teachers = f", which also learned from {', '.join(trained['taughtBy'])}" if trained["taughtBy"] else ""
    tables = " Up to 250 of the human-free photos also lay under rendered menus, as tables, in every part." if trained["rendered"] else ""
    verdict = "It ships, and is what CPUs run." if int8["ships"] else "It does not ship."
    category, human, shown = ("not measured" if int8[key] is None else f"{sign * int8[key]:+.2%}" for key, sign in (
        ("categoryAccuracyLost", -1), ("humanAveragePrecisionLost", -1), ("moreHumansShown", 1)))
    return f"""# {model['name']}-{model['version']}

Sorts photos of restaurants into food, ambience, menu and other, and tells whether any human is visible. One network
({trained['trunk']}{teachers}), {model['input']['side']} x {model['input']['side']} pixels, two heads: a photo has a category and may show a human as well.
Beside it a detector looks for persons in the same pixels ({trained['detector']}, not trained further); its logit is added to that of the human.
{_looks(model['looks'])}
{_calibrated(model['calibration'], measured['humanSpread'])}

## What it was trained on

{trained['photos']:,} photos of {trained['sources']:,} sources, and {trained['rendered']:,} rendered menus and look-alikes. {_licences(trained['licences'])}
{_before(trained.get('begunWith', {}))}
## What was measured

The sources were dealt into {measured['folds']} parts. A network of the same recipe was trained on all but one part and measured on that
part, once for each: {measured['photos']:,} photos of {measured['sources']} sources, none of which the network that judged it had been trained on. The
network that ships learned from all parts. Calibration was fitted on the other parts. In brackets: 95 % of draws of whole
sources, with replacement; for shares at a threshold, also what so few photos leave open (Wilson), if that is wider.{tables}

| | |
| --- | --- |
{heads}

| category | photos | precision | recall | F1 |
| --- | --- | --- | --- | --- |
{categories}

| truth ↓ judged → | {' | '.join(model['categories'])} |
| --- |{' --- |' * len(model['categories'])}
{confusion}

Of {counts['human']:,} photos with a human ({counts['small']} with small ones only) and {counts['freeFoodAndAmbience']:,} of food and ambience without; {counts['likenesses']} likenesses
(statues, dolls, mannequins, posters):

| human threshold | humans below it | small ones below it | human-free food and ambience at or above it | likenesses at or above it |
| --- | --- | --- | --- | --- |
{thresholds}

int8 against fp32 on {int8['photos']:,} held-out photos: category accuracy {category}, human average precision {human},
humans below {int8['threshold']} {shown}; {int8['msPerPhoto']['int8']} ms a photo on one core instead of {int8['msPerPhoto']['fp32']}. {verdict}

## What it cannot do

- See people that fill less than about 1 % of the frame, or only a hand: hands and forearms are neither taught nor counted.
- Tell a statue, a mannequin, a poster or a doll from a human reliably.
- Judge what the photo is worth, whether it is this restaurant, or whether it is decent.
- Read menus; it only knows what they look like. Menus on screens, and in scripts that it saw little of, are weak.
- Tell who anybody is. It was not made to, and must not be used to.
"""


def _calibrated(found: dict, spread: dict) -> str:
    """How much each counts: what hardly differs from photo to photo tells nobody from anybody, whatever it is multiplied by."""
    silent = [warning for by, warning in (
        ("network", "**What the network says of humans counts next to nothing: only the detector tells them. Train on more photos of humans.**"),
        ("detector", "**The detector counts next to nothing: only the network tells humans.**")) if spread[by] < 0.1]
    return "\n".join([
        f"That sum is {found['slope']:g} x the network's logit + {found['seen']:g} x the most that the detector says anywhere {found['offset']:+g}. From photo to photo, of those",
        f"held out, the first part varies by {spread['network']:g} (a standard deviation) and the second by {spread['detector']:g}. Logits of categories are divided by {found['temperature']:g}.",
        *silent])


def _looks(looks: dict) -> str:
    closer = ", then ".join(f"at {each['parts']} parts of photos that get {each['unsure'][0]:g} to {each['unsure'][1]:g}" for each in looks["closer"])
    return f"""The detector is not asked where the network alone says less than {looks['detectorFrom']:g} of a human. Photos are looked at closer, by both, {closer}: each part is
three quarters of either edge, and the mean of all sums counts; less within half a logit of these bounds. `human_map` is of the first look: it may show nobody where a closer one did.
"""


def _before(begun: dict) -> str:
    """What the weights that it began with had learnt from, where that is more than ImageNet."""
    if "trainedFrom" not in begun:
        return ""
    former = begun["trainedFrom"]
    known = (f"These were trained on {former['photos']:,} photos of {former['sources']:,} sources, beginning with {former['trunk']}. {_licences(former.get('licences', {}))}" if former
             else "What these were\ntrained on, and under which licence they are, is not known here.")
    return f"""
It went on from {begun['weights']}. {known}
Where sources are among both, the figures below mean nothing: the networks that were measured had seen them.
"""


def _licences(stated: dict[str, int]) -> str:
    """What labels.jsonl says of the photos' licences, the commonest first; an empty one is of those that it states none for."""
    named = [f"{licence} ({count:,})" for licence, count in stated.items() if licence]
    if not named:
        return "Of their licences\nlabels.jsonl says nothing: ask whoever gathered them what a model that was made of them may be used for."
    more = f" and {len(named) - 8} others" if len(named) > 8 else ""
    none = f"; none for {stated['']:,}" if stated.get("") else ""
    return ("Their licences, as\nlabels.jsonl states them: " + ", ".join(named[:8]) + more + none +
            ". Look at what they ask for\nbefore you use this model commercially.")


def _interval(figure, digits):
    if figure is None:
        return "-"
    value, low, high = figure
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _share(value, interval):
    return "-" if value is None else f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"
