"""Formats of recordings, by the suffixes of their files."""

# Formats whose length can be checked, by libsndfile's names, and the suffixes that they go by.
SUFFIXES = {
    "WAV": (".wav", ".wave", ".bwf"),
    "WAVEX": (".wav", ".wave", ".bwf"),
    "RF64": (".wav", ".wave", ".bwf", ".rf64"),
    "W64": (".w64",),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "NIST": (".sph",),  # NIST SPHERE, which TIMIT calls .wav
}
AUDIO_SUFFIXES = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
UNREAD_SUFFIXES = {  # of recordings in other formats
    *(".3ga", ".3gp", ".aac", ".ac3", ".amr", ".ape", ".avi", ".dff", ".dsf", ".m4a", ".m4b", ".mka", ".mkv", ".mov"),
    *(".mp2", ".mp4", ".mpc", ".pcm", ".raw", ".spx", ".tta", ".voc", ".weba", ".webm", ".wma", ".wv"),
}
