"""What Plex says of itself."""

import xml.etree.ElementTree

import wiring


def claimed(api):
    """Whether it belongs to somebody. It answers XML to those who do not ask for JSON, and says the same in both."""
    answer = api.get("/identity")
    if isinstance(answer, str):
        try:
            answer = {"MediaContainer": xml.etree.ElementTree.fromstring(answer).attrib}
        except xml.etree.ElementTree.ParseError as error:
            raise wiring.Trouble(f"plex does not say whose it is: {error}") from None
    return answer["MediaContainer"]["claimed"] in (True, 1, "1")
