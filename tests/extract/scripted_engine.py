"""A scripted engine, so that what is tested is not what a model knows."""

from __future__ import annotations

import json
import re

from etlch.infer.loading import Made


class Scripted:
    """Answers each prompt by a function of the article in it (the last line of the question and what follows)."""

    def __init__(self, answer) -> None:
        self.answer, self.asked, self.most_at_once = answer, [], 0

    def answers(self, todo):
        self.most_at_once = max(self.most_at_once, len(todo))
        for row, prompt in reversed(list(todo)):
            article = prompt.text.split("<|start_header_id|>user<|end_header_id|>")[1].split("<|eot_id|>")[0]
            article = article.strip().partition("\n")[2]
            self.asked.append(article)
            yield Made(row, self.answer(article), 7, True)


def names_in(article: str) -> str:
    """The answer of a perfect model for names such as 甲12乙, each once."""
    return json.dumps({"人物": list(dict.fromkeys(re.findall("甲[0-9]+乙", article)))}, ensure_ascii=False)
