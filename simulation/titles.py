"""Titles of simulated videos: readable, pleasant, telling of their category. Word lists and six sentence patterns."""

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    return tuple(" ".join(word.split()) for word in text.split(","))


MOODS = _words("""Midnight, Slow, Golden, Quiet, Everyday, Forgotten, Sunday, Winter, Secret, Brilliant, Tiny,
    Old-fashioned, Rainy-day, First-time, Moonlit, Honest""")
PLACES = _words("""Osaka, Lisbon, Oaxaca, Bergen, Hanoi, Salvador, Hamburg, Chicago, Kyoto, Recife, Leipzig, 
    New Orleans, Sapporo, Marrakesh, Tbilisi, Palermo, Cape Town, Seoul, Reykjavik, Valparaíso""")
OCCASIONS = _words("""beginners, rainy days, two, late nights, small rooms, impatient people, long weekends,
    the whole street, grandparents, early risers, curious neighbours, the last warm evening""")
ENDINGS = _words("""start to finish, with no shortcuts, and what went wrong, as my aunt does it, one year later,
    in a single take, explained gently, before breakfast, the way it used to be, for the very first time""")
SUBJECTS: dict[str, tuple[str, ...]] = {
    "cooking": _words("""ramen, sourdough, street dumplings, black beans, plum cake, pickles, hand-cut noodles,
        onion soup, grilled sardines, cheese bread"""),
    "travel": _words("""night trains, ferry crossings, mountain villages, harbour walks, border towns, cable cars,
        hostel mornings, desert roads, island buses, lighthouses"""),
    "music": _words("""street violins, basement jazz, choir rehearsals, vinyl finds, drum lessons, samba circles,
        piano covers, synth repairs, lullabies, brass bands"""),
    "comedy": _words("""office pranks, family dinners, bad advice, deadpan interviews, talking pets, wrong numbers,
        wedding speeches, elevator silences, lost tourists, terrible hotels"""),
    "football": _words("""free kicks, penalty stories, village derbies, goalkeeper drills, last-minute goals,
        pub leagues, nutmegs, stadium songs, youth finals, boot tests"""),
    "gaming": _words("""speedruns, pixel dungeons, co-op disasters, retro consoles, boss fights, farming sims,
        blitz chess, arcade nights, racing sims, hidden levels"""),
    "animals": _words("""rescue kittens, sleepy otters, clever crows, farm goats, beach dogs, night owls,
        rabbit hotels, whale songs, snail races, hedgehog visits"""),
    "science": _words("""slime moulds, soap bubbles, comet tails, magnet tricks, tide pools, volcano labs,
        prime numbers, cloud chambers, fossil hunts, radio telescopes"""),
    "crafts": _words("""paper lanterns, spoon carving, clay teapots, patchwork quilts, bookbinding, wool dyeing,
        knife sharpening, model trains, stained glass, basket weaving"""),
    "fitness": _words("""kettlebell basics, morning stretches, hill sprints, rooftop yoga, pull-up progress,
        skipping ropes, balance drills, cold swims, desk workouts, climbing walls"""),
    "fashion": _words("""thrifted coats, denim repairs, rain boots, linen shirts, festival outfits, vintage watches,
        hat making, sneaker cleaning, indigo jackets, scarf knots"""),
    "gardening": _words("""tomato seedlings, balcony herbs, moss gardens, rose pruning, compost heaps, bonsai trees,
        wildflowers, mushroom logs, lemon trees, greenhouse repairs"""),
    "cars": _words("""rusty vans, engine swaps, city scooters, rally stages, wheel bearings, electric conversions,
        tractor parades, camper builds, night drives, hubcap hunts"""),
    "history": _words("""roman roads, castle kitchens, lost maps, silent films, port archives, railway stations,
        old recipes, coin hoards, city walls, sailors' letters"""),
    "drawing": _words("""ink portraits, chalk murals, watercolour skies, comic panels, subway sketches,
        botanical plates, pencil hands, poster lettering, tattoo flash, storyboards"""),
    "coding": _words("""tiny compilers, broken regexes, weekend robots, terminal games, map plotting, font rendering,
        bug hunts, home servers, sorting algorithms, weather stations"""),
}
CATEGORIES = tuple(SUBJECTS)


def make_title(rng: np.random.Generator, category: str, second: str | None) -> str:
    """One title for a video of `category`; `second` (another category or None) may lend a subject too."""
    def pick(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    subject, mood, place = pick(SUBJECTS[category]), pick(MOODS), pick(PLACES)
    capital = subject[0].upper() + subject[1:]
    patterns = [f"{mood} {subject} in {place}", f"{mood} {subject}, {pick(ENDINGS)}", f"More {subject} from {place}",
                f"{capital} in {place}, {pick(ENDINGS)}", f"{capital} for {pick(OCCASIONS)}"]
    if second is not None:
        patterns.append(f"{capital} and {pick(SUBJECTS[second])} in {place}")
    return patterns[int(rng.integers(len(patterns)))]


def make_titles(rng: np.random.Generator, categories: list[list[str]]) -> list[str]:
    """A title per list of category names (a list per work), distinct while ten tries find one."""
    used: set[str] = set()
    titles = []
    for names in categories:
        for _ in range(10):
            title = make_title(rng, names[0], names[1] if len(names) > 1 else None)
            if title not in used:
                break
        used.add(title)
        titles.append(title)
    return titles
