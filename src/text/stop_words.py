"""The words of each language that carry no meaning in a review."""

from stop_words import get_stop_words

from src.core.params import Language
from src.text.characters import fold
from src.text.cleaning import StopWords

# Words of the stop-word lists that still affect the rating: negations, contrasts (also between past and present),
# intensifiers, and words that judge.
KEPT: dict[str, frozenset[str]] = {
    "english": frozenset(
        """
        no not nor never neither none nobody noone nothing nowhere cannot cant couldnt hasnt without against
        but however although though yet except nevertheless otherwise instead rather while whereas
        now then before after again already until since still anymore always once former formerly first last
        very too so much many more most less least few enough almost only even quite well really such
        all every everything everyone everywhere any anything ever often sometimes
        one two three four five ten
        serious sincere cry fire empty full top bottom interest please bill fill find found system
        """.split()
    ),
    "german": frozenset(
        """
        nicht nichts kein keine keinem keinen keiner keines nie ohne gegen nein weder
        aber doch oder sondern zwar trotzdem obwohl sonst während
        jetzt nun dann nach noch wieder immer nur
        sehr so viel alle alles etwas manche selbst weiter
        """.split()
    ),
    "french": frozenset(
        """
        ne n ni non pas point sans sauf contre aucun aucune aucuns jamais personne rien
        mais malgré sinon pourtant tandis alors or
        maintenant avant après depuis encore puis
        très trop si bien plus moins peu tout tous toute toutes même tellement seulement plein juste force valeur
        """.split()
    ),
    "spanish": frozenset(
        """
        no ni nada nadie nunca ninguna ninguno ningún ningunas ningunos sin contra tampoco jamás
        pero sino aunque embargo mientras salvo excepto pesar
        ahora antes después luego todavía ya aún siempre actualmente anterior
        muy más menos mucho mucha muchos muchas poco poca pocos pocas tan tanto bastante demás casi
        todo toda todos todas sólo solo solamente apenas igual incluso también
        bien bueno buena buenos buenas buen mejor mayor gran grandes verdad valor
        trabaja trabajan trabajo intento intenta intentar tiempo
        """.split()
    ),
}


def find_stop_words(language: Language) -> StopWords:
    """Return the stop words of a language and its words in KEPT.

    The list comes from scikit-learn for English, else from the package stop-words, whose English list contains good,
    great, best and useless.
    """
    if language != "english":
        kept = KEPT.get(language, frozenset())
        stop = get_stop_words(language) if language != "other" else []
        return StopWords(frozenset(fold(word, True) for word in stop), frozenset(fold(word, True) for word in kept))
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # takes half a second

    return StopWords(ENGLISH_STOP_WORDS, KEPT[language])
