"""The words of the pages, Dutch and English side by side."""

from __future__ import annotations

LANGUAGES = ("nl", "en")

WORDS: dict[str, tuple[str, str]] = {
    # what both pages say
    "page": ("hashserver", "hashserver"),
    "made": ("Opgesteld op", "Made on"),
    "all_utc": ("Alle dagen en maanden zijn UTC.", "All days and months are UTC."),
    "month": ("maand", "month"),
    "checks": ("controles", "checks"),
    "hits": ("treffers", "hits"),
    "matches": ("overeenkomsten", "matches"),
    "share": ("aandeel", "share"),
    "total": ("totaal", "total"),
    "none": ("(geen)", "(none)"),
    "party": ("deelnemer", "party"),
    "parties": ("deelnemers", "parties"),
    "per_million": ("treffers per miljoen", "hits per million"),
    "entries": ("unieke items", "distinct entries"),
    "repeats": ("herhalingen", "repeats"),
    "definitions": ("Hoe is er geteld", "How it was counted"),
    # the annual report
    "annual_title": ("Jaarverslag {year}", "Annual report {year}"),
    "annual_lead": (
        "In {year} controleerden {parties} aangesloten deelnemers {checks} hashes. Daarvan kwamen er {hits}"
        " overeen met bekend materiaal: {rate} per miljoen.",
        "In {year}, {parties} connected parties checked {checks} hashes. Of these, {hits} matched known "
        "material: {rate} per million.",
    ),
    "annual_empty": ("In {year} is er niets gecontroleerd.", "Nothing was checked in {year}."),
    "tile_checks": ("controles", "checks"),
    "tile_hits": ("treffers", "hits"),
    "tile_rate": ("treffers per miljoen controles", "hits per million checks"),
    "tile_parties": ("aangesloten deelnemers", "connected parties"),
    "tile_entries": ("unieke items met een treffer", "distinct entries hit"),
    "tile_repeats": ("van de overeenkomsten is een herhaling", "of the matches are repeats"),
    "before": ("jaar ervoor: {value}", "year before: {value}"),
    "joined_tile": ("waarvan {count} nieuw dit jaar", "of which {count} new this year"),
    "s_growth": ("Groei door het jaar", "Growth over the year"),
    "p_growth": (
        "Van het eerste naar het laatste kwartaal gingen de controles van {first} naar {last} ({factor}×).",
        "From the first quarter to the last, checks went from {first} to {last} ({factor}×).",
    ),
    "c_checks": ("Controles per maand", "Checks per month"),
    "c_hits": ("Treffers per maand", "Hits per month"),
    "c_parties": ("Aangesloten deelnemers", "Connected parties"),
    "joined": ("nieuw in deze maand", "joined that month"),
    "connected": ("al aangesloten", "connected before"),
    "quarter": ("kwartaal", "quarter"),
    "s_phases": ("Eerste bulkcontrole en vaste stroom", "First bulk checks and steady state"),
    "p_phases": (
        "Wie aansluit, controleert eerst alles wat er staat; daarna alleen wat nieuw is. In die eerste "
        "controles waren er {bulk_rate} treffers per miljoen, daarna {steady_rate}.",
        "A party that connects first checks everything it stores, and after that only what is new. First "
        "bulk checks had {bulk_rate} hits per million, the steady state {steady_rate}.",
    ),
    "c_phases": ("Controles: eerste bulk en vaste stroom", "Checks: first bulk and steady"),
    "bulk": ("eerste bulk", "first bulk"),
    "steady": ("vaste stroom", "steady"),
    "s_categories": ("Waar ging het om", "What the hits were"),
    "c_categories": ("Treffers per categorie", "Hits by category"),
    "category": ("categorie", "category"),
    "c_sets": ("Treffers per hashset", "Hits by hash set"),
    "set": ("hashset", "hash set"),
    "s_types": ("Hoe is het gevonden", "How it was found"),
    "c_types": ("Treffers per hashtype", "Hits by hash type"),
    "type": ("hashtype", "hash type"),
    "c_distances": ("Treffers op afstand ({type})", "Hits by distance ({type})"),
    "distance": ("afstand", "distance"),
    "s_entries": ("Uniek en herhaald", "Distinct and repeated"),
    "p_entries": (
        "{matches} overeenkomsten betroffen {entries} unieke items; {several} daarvan kwamen bij meer dan "
        "één deelnemer voor. De {top} vaakst herhaalde items zijn goed voor {top_share} van alle "
        "overeenkomsten.",
        "{matches} matches named {entries} distinct entries; {several} of these were hit at more than one "
        "party. The {top} most repeated entries account for {top_share} of all matches.",
    ),
    "c_entries": ("Unieke items per maand", "Distinct entries per month"),
    "fresh": ("eerste treffer", "hit for the first time"),
    "known": ("eerder een treffer", "hit before"),
    "c_repeats": ("Items naar aantal overeenkomsten", "Entries by number of matches"),
    "times": ("overeenkomsten per item", "matches per entry"),
    "c_spread": ("Items naar aantal deelnemers", "Entries by number of parties"),
    "s_age": ("Hoe oud, en wat nooit een treffer gaf", "How old, and what was never hit"),
    "p_age": (
        "De helft van de items met een eerste treffer stond toen al {median} dagen of langer in een set.",
        "Half of the entries that were hit for the first time had been in a set for at least {median} days.",
    ),
    "c_age": ("Leeftijd bij eerste treffer", "Age at the first hit"),
    "age": ("leeftijd", "age"),
    "never": ("nooit een treffer", "never hit"),
    "ever": ("ooit een treffer", "hit at least once"),
    "in_store": ("items in de set", "entries in the set"),
    "c_never": ("Items met en zonder treffer", "Entries hit and never hit"),
    "s_parties": ("Per deelnemer", "By party"),
    "c_parties_hits": ("Treffers per deelnemer", "Hits by party"),
    "party_number": ("deelnemer {number}", "party {number}"),
    "s_repeated": ("De vaakst herhaalde items", "The most repeated entries"),
    "p_repeated": (
        "Genoemd met het kenmerk van hun set, nooit met een hash.",
        "Named by their id in the set, never by a hash.",
    ),
    "entry": ("item", "entry"),
    "< a day": ("< 1 dag", "< 1 day"),
    "< a week": ("< 1 week", "< 1 week"),
    "< a month": ("< 30 dagen", "< 30 days"),
    "< a year": ("< 1 jaar", "< 1 year"),
    "< 2 years": ("< 2 jaar", "< 2 years"),
    "< 5 years": ("< 5 jaar", "< 5 years"),
    "more": ("5 jaar of ouder", "5 years or more"),
    "d_check": (
        "Een controle is één gecontroleerde hash. Een treffer is een controle die overeenkwam; hij telt "
        "één keer, bij de set, categorie en afstand van de naaste overeenkomst. Een treffer kan meer "
        "overeenkomsten hebben: één per item.",
        "A check is one hash asked about. A hit is a check that matched; it counts once, for the set, "
        "category and distance of its nearest match. A hit may have several matches, one for each entry.",
    ),
    "d_images": (
        "Treffers zijn geen afbeeldingen en geen daders: hetzelfde bestand kan vaak gecontroleerd worden, "
        "ook door dezelfde deelnemer.",
        "Hits are neither images nor offenders: one file may be checked many times, even by the same party.",
    ),
    "d_entries": (
        "Een item is een bekende afbeelding in een hashset. Staat dezelfde afbeelding in twee sets, dan "
        "zijn dat twee items. Herhalingen zijn overeenkomsten na de eerste van elk item in het jaar.",
        "An entry is a known item in a hash set. An item that is in two sets is two entries. Repeats are "
        "matches after the first of each entry in the year.",
    ),
    "d_connected": (
        "Aangesloten is wie minstens één hash gecontroleerd heeft, vanaf de dag van die eerste controle.",
        "A party counts as connected from the day of its first check.",
    ),
    "d_bulk": (
        "De eerste bulkcontrole is afgeleid: zij loopt tot en met de laatste van de eerste {days} dagen met"
        " meer dan {factor} keer zoveel controles als een gewone dag (de mediaan van de latere helft van de"
        " dagen tot het eind van het jaar). Wie korter dan {least} dagen meedoet, telt geheel als bulk.",
        "The first bulk check is inferred: it lasts until the last day, among the first {days}, with more "
        "than {factor} times the checks of a usual day (the median of the later half of the days until the "
        "end of the year). For parties with fewer than {least} days, all checks count as bulk.",
    ),
    "d_age": (
        "De leeftijd is de tijd van opname in de set tot de eerste treffer. Nooit een treffer: de items in "
        "de sets van nu die tot het eind van het jaar geen treffer hadden; wat is teruggetrokken, telt niet mee.",
        "Age is the time from being added to the set to the first hit. Never hit: entries of the sets as they "
        "are now that were not hit by the end of the year; withdrawn entries are left out.",
    ),
    # the report of effect
    "effect_title": ("Wat aansluiten veranderde", "What connecting changed"),
    "e_lead": (
        "Na aansluiting werden er {reported} URL's gemeld, waar er {expected} te verwachten waren: {change}"
        " (95 %-interval {low} tot {high}).",
        "After connecting, {reported} URLs were reported where {expected} were expected: {change} (95 % "
        "interval {low} to {high}).",
    ),
    "e_unsure": (
        "Het interval bevat 0: deze meldingen laten niet zien dat aansluiten iets veranderde.",
        "The interval includes 0: these reports do not show that connecting changed anything.",
    ),
    "e_sure": (
        "Het interval bevat 0 niet. Of aansluiten de oorzaak is, hangt af van de kanttekeningen hieronder.",
        "The interval does not include 0. Whether connecting is the cause depends on the caveats below.",
    ),
    "t_change": ("verandering door aansluiten", "change with connecting"),
    "t_interval": ("95 %-interval", "95 % interval"),
    "t_fewer": ("URL's minder dan verwacht", "URLs fewer than expected"),
    "s_compare": ("Voor en na, wel en niet aangesloten", "Before and after, connected and not"),
    "p_compare": (
        "Gemelde URL's per aanbieder per maand. Voor de niet-aangesloten aanbieders zijn dezelfde maanden "
        "genomen, even zwaar geteld.",
        "Reported URLs per provider and month. For unconnected providers the same months are used, with the "
        "same weights.",
    ),
    "group": ("groep", "group"),
    "providers": ("aanbieders", "providers"),
    "before_it": ("voor", "before"),
    "after_it": ("na", "after"),
    "change": ("verandering", "change"),
    "g_connected": ("aangesloten", "connected"),
    "g_unconnected": ("niet aangesloten", "not connected"),
    "c_compare": ("Gemelde URL's per aanbieder per maand", "Reported URLs per provider and month"),
    "s_relative": ("Maand voor maand", "Month by month"),
    "c_reported": ("Gemeld en verwacht, rond de aansluiting", "Reported and expected, around connecting"),
    "c_ratio": (
        "Gemeld als deel van verwacht, met 95 %-interval",
        "Reported as a share of expected, with 95 % interval",
    ),
    "reported": ("gemeld", "reported"),
    "expected": ("verwacht", "expected"),
    "ratio": ("gemeld / verwacht", "reported / expected"),
    "relative": ("maand", "month"),
    "p_relative": (
        "Maand 0 is de maand van aansluiting; die telt in de schatting niet mee.",
        "Month 0 is the month of connecting; the estimate leaves it out.",
    ),
    "s_caveats": ("Kanttekeningen", "Caveats"),
    "k_cause": (
        "Dit is geen proef: aanbieders kozen zelf of en wanneer zij aansloten. Wie aansluit na een piek in "
        "meldingen, ziet die vanzelf dalen.",
        "This is not an experiment: providers chose whether and when to connect. A provider that connects "
        "after a peak of reports sees them fall anyway.",
    ),
    "k_parallel": (
        "De vergelijking neemt aan dat beide groepen zonder aansluiting dezelfde weg waren gegaan (in "
        "verhouding).",
        "The comparison assumes that, had nobody connected, both groups would have changed in the same "
        "proportion.",
    ),
    "k_placebo": (
        "Toets daarvan: dezelfde schatting voor de drie maanden vóór aansluiting geeft {change} ("
        "95 %-interval {low} tot {high}); ver van 0 zou de aanname weerspreken.",
        "A test of this: the same estimate for the three months before connecting is {change} (95 % interval "
        "{low} to {high}); far from 0, it would contradict the assumption.",
    ),
    "k_no_placebo": (
        "Er zijn te weinig maanden vóór aansluiting om die aanname te toetsen.",
        "There are too few months before connecting to test that assumption.",
    ),
    "k_spill": (
        "Als materiaal naar niet-aangesloten aanbieders verhuist, stijgen hun meldingen, en lijkt het "
        "effect groter dan het is.",
        "If material moves to unconnected providers, their reports rise, and the effect seems larger than it is.",
    ),
    "k_reports": (
        "Meldingen zijn niet het materiaal zelf: zij volgen ook de aandacht van melders en van het "
        "meldpunt. Een URL kan vaker gemeld zijn.",
        "Reports are not the material itself: they also depend on the attention of reporters and of the "
        "hotline. A URL may be reported more than once.",
    ),
    "k_method": (
        "Verwacht is wat aanbieder en maand samen voorspellen (Poisson met vaste effecten), berekend uit "
        "maanden zonder aansluiting. De onzekerheid komt van het opnieuw trekken van aanbieders ({draws} "
        "keer).",
        "Expected is what provider and month predict together (Poisson with fixed effects), fitted to "
        "months without connection. The uncertainty comes from resampling providers ({draws} times).",
    ),
    "k_few": (
        "Een van de groepen telt minder dan tien aanbieders: het interval is waarschijnlijk te smal.",
        "One of the groups has fewer than ten providers: the interval is likely to be too narrow.",
    ),
    "k_large": (
        "Grote aanbieders wegen het zwaarst: het gaat om het totaal van de gemelde URL's.",
        "Large providers weigh most, as the total of reported URLs is compared.",
    ),
    "k_left_out": (
        "Niet te vergelijken, want niet gemeld vóór of niet gevolgd na aansluiting: {names}.",
        "Left out of the comparison, as they have no reports before connecting, or no months after it: {names}.",
    ),
    "k_unreported": (
        "Deelnemers die in geen melding voorkomen (heten zij daar anders?): {names}.",
        "Parties that appear in no report (perhaps under other names): {names}.",
    ),
}


def words_for(language: str) -> dict[str, str]:
    """The words of a language, by key."""
    place = LANGUAGES.index(language)
    return {key: texts[place] for key, texts in WORDS.items()}
