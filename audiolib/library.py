"""`AudioLibrary`: the one facade. All that the command line, the service and the adapters do is a method here."""

from audiolib.facade.batching import Batching
from audiolib.facade.curating import Curating
from audiolib.facade.exporting import Exporting
from audiolib.facade.finding import Finding
from audiolib.facade.importing import Importing
from audiolib.facade.keeping import Keeping
from audiolib.facade.making import Making
from audiolib.facade.ranking import Ranking
from audiolib.facade.surveying import Surveying


class AudioLibrary(Making, Batching, Ranking, Finding, Importing, Curating, Surveying, Exporting, Keeping):
    """A folder of clips that can be added to, searched and made again.

    Args:
        path: The library's folder; found as the command line finds it when `None`.
        settings: The user's settings; read from the environment and the configuration file when `None`.
    """
