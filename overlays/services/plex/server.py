"""What Plex says of itself, and its settings: the attributes of one element in a file that belongs to its container."""

import xml.etree.ElementTree

import inside
import wiring

PATH = "config/Library/Application Support/Plex Media Server/Preferences.xml"


def claimed(api):
    """Whether it belongs to somebody. It answers XML to those who do not ask for JSON, and says the same in both."""
    answer = api.get("/identity")
    if isinstance(answer, str):
        try:
            answer = {"MediaContainer": xml.etree.ElementTree.fromstring(answer).attrib}
        except xml.etree.ElementTree.ParseError as error:
            raise wiring.Trouble(f"plex does not say whose it is: {error}") from None
    return answer["MediaContainer"]["claimed"] in (True, 1, "1")


def preferences(state):
    """The settings as they stand in the file, or nothing where there is none."""
    data = inside.read(state, PATH)
    if data is None:
        return None
    try:
        found = xml.etree.ElementTree.fromstring(data)
    except xml.etree.ElementTree.ParseError as error:
        raise wiring.Trouble(f"{state}/{PATH} cannot be read: {error}") from None
    if found.tag != "Preferences":
        raise wiring.Trouble(f"{state}/{PATH} does not hold Plex's settings")
    return dict(found.attrib)


def keep(state, settings, owner):
    """Writes them, for `owner`. Plex must not run: it writes the file too when it ends."""
    element = xml.etree.ElementTree.Element("Preferences", settings)
    text = '<?xml version="1.0" encoding="utf-8"?>\n' + xml.etree.ElementTree.tostring(element, encoding="unicode") + "\n"
    inside.write(state, PATH, text.encode(), owner)
