"""The words that captions are made of: every word stands for something that can be heard."""

from __future__ import annotations

MOOD_WORDS: dict[str, tuple[str, ...]] = {
    "calm": ("calm", "peaceful", "quiet", "soft", "gentle", "relaxing", "soothing", "tranquil", "serene",
             "relaxed",
             "calming", "chill", "easy", "mild"),
    "happy": ("happy", "cheerful", "joyful", "sunny", "merry", "feel-good", "positive", "glad", "uplifting",
              "lighthearted"),
    "sad": ("sad", "melancholic", "sorrowful", "mournful", "melancholy", "lonely", "heartbroken", "somber",
            "wistful"),
    "dark": ("dark", "gloomy", "sinister", "ominous", "brooding", "scary", "spooky", "haunting", "eerie",
             "creepy",
             "moody"),
    "tense": ("tense", "suspenseful", "nervous", "anxious", "restless", "dramatic", "urgent", "thrilling",
              "stressful"),
    "energetic": ("energetic", "powerful", "exciting", "lively", "dynamic", "intense", "wild", "pumping",
                  "high-energy"),
    "dreamy": ("dreamy", "floating", "ethereal", "hazy", "atmospheric", "airy", "magical", "spacey",
               "hypnotic"),
    "epic": ("epic", "heroic", "grand", "majestic", "triumphant", "mighty", "dramatic", "powerful",
             "glorious"),
    "playful": ("playful", "funny", "quirky", "bouncy", "cute", "whimsical", "cheeky", "lighthearted",
                "silly"),
    "romantic": ("romantic", "tender", "loving", "sentimental", "warm-hearted", "nostalgic", "emotional",
                 "heartfelt"),
}  # fmt: skip
# Said only where the pace agrees with them.
MOOD_PACE_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("happy", "fast"): ("upbeat", "lively", "peppy"),
    ("happy", "medium"): ("upbeat",),
    ("energetic", "fast"): ("upbeat", "frantic", "driving"),
    ("playful", "fast"): ("upbeat", "lively"),
    ("calm", "slow"): ("slow calm", "sleepy", "restful", "meditative"),
    ("sad", "slow"): ("slow sad",),
    ("tense", "fast"): ("frantic", "breathless"),
}

PACE_WORDS: dict[str, tuple[str, ...]] = {
    "slow": (
        "slow",
        "slow-paced",
        "unhurried",
        "slow tempo",
        "leisurely",
        "very slow",
        "slowly moving",
        "lazy",
    ),
    "medium": ("mid-tempo", "medium tempo", "moderate", "walking pace"),
    "fast": ("fast", "fast-paced", "quick", "rapid", "fast tempo", "very fast", "speedy", "brisk", "racing"),
}
TONE_WORDS: dict[str, tuple[str, ...]] = {
    "dark": ("warm", "mellow", "dark", "muffled", "deep", "low", "dull", "dark-toned", "subdued", "velvety",
             "rounded"),
    "neutral": (),
    "bright": ("bright", "sharp", "crisp", "brilliant", "sparkling", "shiny", "clear", "shimmering",
               "glittering",
               "bright-toned", "piercing"),
}  # fmt: skip
DRUM_PHRASES: dict[str, tuple[str, ...]] = {
    "none": ("no drums", "without drums", "no beat", "drumless", "no percussion", "without percussion",
             "beatless",
             "without a beat"),
    "light": ("with drums", "drums", "with a beat", "with percussion", "with a drum beat", "a steady beat",
              "with a groove"),
    "heavy": ("heavy drums", "with heavy drums", "pounding drums", "big drums", "loud drums",
              "hard-hitting drums",
              "a heavy beat", "with a strong beat", "powerful drums", "thunderous drums"),
}  # fmt: skip
KIT_PHRASES: dict[tuple[str, str], tuple[str, ...]] = {
    ("acoustic", "light"): ("acoustic drums", "a simple drum kit", "a drum kit"),
    ("electronic", "light"): ("electronic drums", "a drum machine", "808 drums", "an electronic beat"),
    ("soft", "light"): (
        "soft drums",
        "brushed drums",
        "light drums",
        "a gentle beat",
        "a soft beat",
        "lo-fi drums",
    ),
    ("acoustic", "heavy"): ("heavy acoustic drums", "a loud drum kit"),
    ("electronic", "heavy"): ("a heavy electronic beat", "punchy 808 drums", "a pounding drum machine"),
}

GENRE_WORDS: dict[str, tuple[str, ...]] = {
    "classical": ("classical", "classic", "chamber", "classical style", "baroque"),
    "ambient": ("ambient", "drone", "soundscape", "new age", "meditation"),
    "lofi": ("lofi", "lo-fi", "lofi hip hop", "chillhop", "lofi study", "chill lofi"),
    "rock": ("rock", "rock band", "indie rock", "alternative rock", "guitar rock"),
    "pop": ("pop", "pop song", "radio pop", "indie pop"),
    "techno": ("techno", "electronic", "electronic", "electronic dance", "edm", "rave", "club"),
    "house": ("house", "electronic", "house music", "dance", "club", "disco house"),
    "synthwave": ("synthwave", "retrowave", "80s synth", "retro synth", "electronic", "eighties"),
    "jazz": ("jazz", "jazzy", "swing", "jazz club", "smooth jazz", "lounge"),
    "folk": ("folk", "acoustic", "country", "campfire", "acoustic folk"),
    "cinematic": ("cinematic", "orchestral", "film", "movie", "film score", "soundtrack", "trailer"),
    "action": ("action", "action movie", "battle", "chase", "boss fight", "action sequence", "combat"),
    "lullaby": ("lullaby", "bedtime", "baby", "sleep", "cradle song"),
    "chiptune": ("chiptune", "8-bit", "8 bit", "video game", "retro game", "arcade"),
    "funk": ("funk", "funky", "soul", "groovy", "disco"),
    "march": ("march", "marching band", "military", "parade", "fanfare"),
    "hip hop": ("hip hop", "hip-hop", "rap", "boom bap", "trap"),
}  # fmt: skip
INSTRUMENT_WORDS: dict[str, tuple[str, ...]] = {
    "piano": ("piano", "piano", "piano", "grand piano", "keyboard", "keys"),
    "electric piano": ("electric piano", "keys", "rhodes", "keyboard", "e-piano"),
    "acoustic guitar": ("acoustic guitar", "guitar", "plucked guitar", "fingerpicked guitar"),
    "electric guitar": ("electric guitar", "guitar", "distorted guitar", "guitars"),
    "strings": ("strings", "string section", "violins", "orchestra strings", "string ensemble"),
    "violin": ("violin", "solo violin", "fiddle"),
    "flute": ("flute", "woodwind", "flutes"),
    "brass": ("brass", "horns", "brass section", "trombones"),
    "trumpet": ("trumpet", "horn", "trumpets"),
    "organ": ("organ", "church organ", "hammond organ"),
    "bell": ("bells", "bell", "chimes", "glockenspiel"),
    "music box": ("music box", "toy piano", "music-box"),
    "marimba": ("marimba", "xylophone", "mallets", "vibraphone"),
    "harp": ("harp", "harps"),
    "synth lead": ("synth lead", "synth", "synthesizer", "lead synth"),
    "synth": ("synth", "synth plucks", "synthesizer", "plucky synth"),
    "square lead": ("square wave", "chip sounds", "8-bit synth", "square synth"),
    "synth pad": ("synth pad", "pad", "pads", "synth pads", "pad synth"),
    "choir": ("choir", "voices", "vocal pad", "choir voices"),
    "acoustic bass": ("double bass", "upright bass", "bass"),
    "electric bass": ("bass", "bass guitar", "electric bass"),
    "synth bass": ("synth bass", "bass", "bassline"),
}  # fmt: skip
NOUNS = (
    "music",
    "track",
    "song",
    "tune",
    "piece",
    "loop",
    "instrumental",
    "melody",
    "theme",
    "music",
    "music",
)
# Said only where there are drums.
DRUM_NOUNS = ("beat", "beats", "groove", "jam")
USES: dict[str, tuple[str, ...]] = {
    "calm": ("for studying", "for relaxing", "for sleep", "background", "for meditation", "for reading"),
    "happy": ("for a commercial", "for a holiday video", "for kids", "for a party"),
    "sad": ("for a sad scene", "for a rainy day", "for a goodbye"),
    "dark": ("for a horror game", "for a thriller", "for a night scene"),
    "tense": ("for a chase scene", "for a thriller", "for a game"),
    "energetic": ("for a workout", "for sports", "for dancing", "for a race"),
    "dreamy": ("for a dream scene", "for falling asleep", "for stargazing"),
    "epic": ("for a trailer", "for a battle", "for a film", "for a game"),
    "playful": ("for a cartoon", "for kids", "for a puzzle game"),
    "romantic": ("for a wedding", "for a love scene", "for a dinner"),
}
