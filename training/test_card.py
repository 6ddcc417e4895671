"""What card.md tells of a model."""

import json

from card import card
from fixtures import Made


class Card(Made):
    def test_tells_the_licences_of_the_photos_it_was_made_of_and_of_no_others(self):
        told = (self.out / "card.md").read_text()
        self.assertIn("labels.jsonl says nothing", told)
        self.assertNotIn("internal use", told)
        self.assertNotRegex(told, "receipt|by eye")
        model = json.loads((self.out / "model.json").read_text())
        self.assertEqual(model["trainedFrom"]["licences"], {"": 45})
        self.assertIn("CC0 (40), MIT (3); none for 2.", card(model | {"trainedFrom": model["trainedFrom"] | {"licences": {"CC0": 40, "MIT": 3, "": 2}}}))

    def test_tells_how_much_the_network_and_the_detector_count(self):
        model = json.loads((self.out / "model.json").read_text())
        found, sources = model["calibration"], model["trainedFrom"]["sources"]
        self.assertIn(f"{found['slope']:g} x the network's logit + {found['seen']:g} x the most that the detector says anywhere {found['offset']:+g}", (self.out / "card.md").read_text())
        self.assertEqual((sources, model["measured"]["sources"]), (9, 9))
        for by, warned in (("network", "only the detector tells them"), ("detector", "only the network tells humans")):
            for spread in (0.01, 1):
                told = card(model | {"measured": model["measured"] | {"humanSpread": {"network": 1, "detector": 1} | {by: spread}}})
                self.assertEqual(warned in told, spread < 0.1)

    def test_tells_what_it_began_with(self):
        model = json.loads((self.out / "model.json").read_text())
        trained = model["trainedFrom"]
        self.assertRegex(trained["trunk"], r"^efficientnet-lite0, weights of trunk.pth \(sha256 [0-9a-f]{12}\)$")
        self.assertNotIn("COCO", trained["detector"])
        self.assertIn("is not known here", (self.out / "card.md").read_text())
        begun = {"weights": "weights of restaurant-6", "trainedFrom": {"photos": 10199, "sources": 253, "trunk": "efficientnet-lite0, ImageNet weights (Apache-2.0)"}}
        told = card(model | {"trainedFrom": trained | {"begunWith": begun}})
        self.assertIn("It went on from weights of restaurant-6. These were trained on 10,199 photos of 253 sources", told)
        self.assertIn("the figures below mean nothing", told)
        self.assertNotIn("went on", card(model | {"trainedFrom": trained | {"begunWith": {"weights": "ImageNet weights (Apache-2.0)"}}}))
