"""How models/nano was made: `make nano` runs this module and LlamaFactory's own trainer, and nothing else.

    python -m etlch.nano init      runs/nano/init    the character tokenizer, and random weights in which a rough copying circuit is laid
    python -m etlch.nano data      runs/nano/data    what it is trained on, generated here, no corpus
    llamafactory-cli train llamafactory_configs/nano_base_few.yaml    repeat random strings; list names of five kinds in short passages
    llamafactory-cli train llamafactory_configs/nano_base_list.yaml   the same with fourteen kinds
    llamafactory-cli train llamafactory_configs/nano_base_read.yaml   long passages, words of a dictionary, layouts that the question shows
    llamafactory-cli train llamafactory_configs/nano_base_topic.yaml  the same with a name that comes again in most sentences
    python -m etlch.nano publish   models/nano       a copy of the result without the trainer's files

The passages are drawn from a grammar with invented names and words of a dictionary, so the model learns to find and copy
and where words begin and end, knows no fact, and has never seen JSON, a triple or an article of this project: what it can
do after fine-tuning, it learned from the data.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from etlch.errors import EtlchError
from etlch.records import dump_json, write_text

SEED = 1234
HIDDEN, LAYERS, HEADS, FEED_FORWARD = 128, 4, 4, 384
COPYING_HEADS = 3  # of the four, in the first two layers
ROPE_THETA = 500_000.0
SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
)
PUNCTUATION = (
    "！＂＃＄％＆＇（）＊＋，－．／：；＜＝＞？＠［＼］＾＿｀｛｜｝～　、。〈〉《》「」『』【】〔〕〜・…‧—–―‘’“”′″"
    "※→℃㎡○●□■△▲☆★№∞≈≠≤≥√∑π−"
)
SCIENTIFIC = (
    "鈾銥鉑氦氖氬氪氙鋰鈹鍶鐳釷醣嘌呤嘧啶苷腺胺酶肽烴烷烯炔醇醛酮羧醯羥鈣鎂鋁矽砷硒溴碘銫鋇鎢鋨汞鉍鼬鯨鮭鱒鱗鰭"
)


def common_characters() -> list[str]:
    """The Chinese characters with a token of their own: the 2,700 most frequent ones and some of chemistry and zoology.

    Frequencies are those of the words of wordfreq 3, written in Taiwan's characters by OpenCC; together they make 99.6% of
    running text. Every other character is spelled in three bytes, which the model copies as well as it does characters.
    """
    common = Path(__file__).with_name("nano_characters.txt").read_text(encoding="utf-8")
    return list(dict.fromkeys([*common.replace("\n", ""), *SCIENTIFIC]))


def vocabulary() -> list[str]:
    """One token a character, after the special tokens and the 256 bytes (for whatever is missing here)."""
    latin = [chr(code) for code in range(0x20, 0x7F)] + ["\n", "\t"]
    european = [chr(code) for code in (*range(0xA1, 0xAD), *range(0xAE, 0x100))]
    greek = [chr(code) for code in (*range(0x391, 0x3AA), *range(0x3B1, 0x3CA)) if code != 0x3A2]
    ordered = dict.fromkeys([*latin, *european, *greek, *PUNCTUATION, *common_characters()])
    return [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *ordered]


def build_tokenizer():
    """A transformers tokenizer: BPE without merges, byte fallback, the llama3 chat tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    vocab = {token: number for number, token in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True, fuse_unk=False))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|finetune_right_pad_id|>",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def init(folder: Path) -> None:
    """Write the tokenizer and random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    tokenizer = build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.02,
    )
    model = LlamaForCausalLM(config)
    seed_copying(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    print(f"{folder}: {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer):,} tokens")


def seed_copying(model) -> None:
    """Lay a rough induction circuit into random weights, in place.

    Layer 0 attends to the previous token and notes it beside the current one; layer 1 looks for the place whose previous
    token is the current one and copies what stands there (Olsson et al. 2022, "In-context learning and induction heads").
    Left to itself a model of this size with 6,000 tokens had not begun to copy after 4,000 steps; with this start it
    repeats 6 characters of 10 before the first step, which is in the spirit of mimetic initialisation (Trockman and
    Kolter 2023). Training then refines it.
    """
    import torch

    spread, size = 0.1, HIDDEN // HEADS
    half = size // 2
    frequency = ROPE_THETA ** (-torch.arange(half) / half)  # of the rotary position embedding, radians a token

    def orthogonal() -> torch.Tensor:
        return torch.linalg.qr(torch.randn(HIDDEN, HIDDEN))[0]

    with torch.no_grad():
        embeddings = model.model.embed_tokens.weight
        embeddings.normal_(0, spread)
        embeddings[:, 0] = 3 * spread  # one dimension that all tokens share carries attention by position alone
        first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
        first.q_proj.weight.zero_()
        first.k_proj.weight.zero_()
        fast = 3.0 * (torch.arange(half) < 10)
        slow = (frequency < 0.01).float().repeat(2)[:, None]  # rotates too little to disturb matching by content
        note, value, copied = orthogonal(), orthogonal(), orthogonal()
        note[0], note[:, 0] = 0, 0
        for head in range(COPYING_HEADS):
            start, middle, end = head * size, head * size + half, (head + 1) * size
            first.q_proj.weight[start:middle, 0] = fast
            first.k_proj.weight[start:middle, 0] = fast * torch.cos(frequency)
            first.k_proj.weight[middle:end, 0] = fast * torch.sin(frequency)
            match = orthogonal()[:size] * slow
            match[:, 0] = 0
            second.q_proj.weight[start:end] = 2.6 * match
            second.k_proj.weight[start:end] = 2.6 * match @ note.T
        first.v_proj.weight.copy_(value)
        first.o_proj.weight.copy_(0.1 * note @ value.T)
        second.v_proj.weight.copy_(copied)
        second.o_proj.weight.copy_(0.3 * copied.T)


# ---- what it is trained on -------------------------------------------------------------------------------------------

CHARACTERS = common_characters()
SIGNS = [t for t in vocabulary()[len(SPECIAL) + 256 :] if not "\u4e00" <= t <= "\u9fff"]
SIGNS += [c for c in map(chr, range(0x4E00, 0xA000, 53)) if c not in set(CHARACTERS)]  # in three bytes each
SIGNS += 60 * [" "] + 12 * list(
    ',.:;-/|=()[]{}<>"\n，。、：；（）【】「」《》－—→'
)  # as often as running text has them
FREQUENT = "的一是在不了有和人這中大為上個國我以要他時來用們生到作地於出就分對成會可主發年動同工也能下過子說產種面而方後多定行學法所民得經十三之進著等部度家電力裡如水化高自二理起小物現實加量都兩體制機當使點從業本去把性好應開它合還因由其些然前外天政四日那社義事平形相全表間樣與關各重新線內數正心反你明看原又麼利比或但質氣第向道命此變條只沒結解問意建月公無系軍很情者最立代想已通並提直題黨程展五果料象員革位入常文總次品式活設及管特件長求老頭基資邊流路級少圖山統接知較將組見計別她手角期根論運農指幾九區強放決西被幹做必戰先回則任取據處隊南給色光門即保治北造百規熱領七海口東導器壓志世金增爭濟階油思術極交受聯什認六共權收證改清己美再採轉更單風切打白教速花帶安場身車例真務具萬每目至達走積示議聲報鬥完類八離華名確才科張信馬節話米整空元況今集溫傳土許步群廣石記需段研界拉林律叫且究觀越織裝影算低持音眾書布復容兒須際商非驗連斷深難近礦千週委素技備半辦青省列習響約支般史感勞便團往酸歷市克何除消構府稱太準精值號率族維劃選標寫存候毛親快效斯院查江型眼王按格養易置派層片始卻專狀育廠京識適屬圓包火住調滿縣局照參紅細引聽該鐵價嚴"  # fmt: skip


class Draw(random.Random):
    """Random numbers, the two sets of characters that names are made of, which each passage narrows for itself, and how
    many cues and endings of a kind are in use."""

    pools = (list(CHARACTERS), list(FREQUENT))
    most = 100

    def narrow(self) -> None:
        """Draw new sets: now and then few characters, which then recur in many names, as in a text about one subject."""
        size = self.choice((25, 60, 150, 0))
        self.pools = tuple(self.sample(pool, size) if size else pool for pool in Draw.pools)


def _stem(rng: Draw, low: int, high: int) -> str:
    pool = rng.pools[rng.random() > 0.4]
    return "".join(rng.choice(pool) for _ in range(rng.randint(low, high)))


def _latin(rng: Draw) -> str:
    word = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 8)))
    return rng.choice((word.upper(), word.title(), word))


def _number(rng: Draw) -> str:
    whole = rng.randint(1, 10 ** rng.randint(1, 4))
    return rng.choice(
        (
            str(whole),
            f"{whole:,}",
            f"{whole}.{rng.randint(0, 99)}",
            f"{rng.randint(1, 99)}萬",
            f"{rng.randint(1, 99)}億",
        )
    )


def _with_suffix(suffixes: str, low: int = 1, high: int = 3) -> Callable[[Draw], str]:
    options = suffixes.split()
    return lambda rng: _stem(rng, low, high) + rng.choice(options[: rng.most])


def _person(rng: Draw) -> str:
    if rng.random() < 0.5:
        return rng.choice("陳林黃張李王吳劉蔡楊許鄭謝郭洪曾邱廖賴徐周葉蘇莊呂江何蕭羅高") + _stem(rng, 1, 2)
    return _stem(rng, 2, 4) + (("・" + _stem(rng, 2, 4)) if rng.random() < 0.5 else "")


def _time(rng: Draw) -> str:
    year = rng.randint(600, 2024)
    return rng.choice(
        (
            f"{year}年",
            f"{year}年{rng.randint(1, 12)}月",
            f"{year}年{rng.randint(1, 12)}月{rng.randint(1, 28)}日",
            f"{rng.randint(5, 21)}世紀",
            f"{year // 10 * 10}年代",
            f"西元前{rng.randint(100, 3000)}年",
            rng.choice("唐宋元明清漢秦") + "代",
        )
    )


def _quantity(rng: Draw) -> str:
    unit = rng.choice(
        [
            "公尺",
            "公里",
            "公斤",
            "公頃",
            "公噸",
            "度",
            "人",
            "年",
            "天",
            "小時",
            "種",
            "座",
            "件",
            "次",
            "層",
            "億人",
            "萬元",
            "平方公里",
            "立方公尺",
            "%",
            "攝氏度",
            "光年",
        ]
    )
    return rng.choice(("", "", "約", "近")) + _number(rng) + rng.choice(("", "", "多")) + unit


def _work(rng: Draw) -> str:
    left, right = rng.choice(("《》", "〈〉", "「」"))
    return left + _stem(rng, 2, 6) + right


NAMES: dict[str, Callable[[Draw], str]] = {
    "人物": _person,
    "組織": _with_suffix("大學 公司 協會 學院 基金會 委員會 研究院 集團 部 局 聯盟 團 黨 銀行 學校 出版社"),
    "地理地區": _with_suffix("市 縣 國 山 河 島 省 州 區 鎮 村 洲 海 灣 湖 半島 盆地 平原 港 溪 沙漠"),
    "建築結構": _with_suffix("塔 橋 寺 宮 大樓 教堂 車站 水庫 館 城 廟 牆 堡 殿 劇院"),
    "產品": lambda rng: rng.choice(
        (_work(rng), _with_suffix("機 器 車 茶 手機 電腦 儀 燈 酒 布 紙 鏡 晶片 軟體")(rng), _latin(rng))
    ),
    "生物": _with_suffix("鳥 魚 樹 熊 蟲 草 花 貓 鯨 菌 蝶 科 屬 目 鹿 猴 蛇 果 豆 米"),
    "醫學": _with_suffix("症 病 炎 疫苗 藥 素 癌 熱 痛 手術 療法 感染"),
    "事件": _with_suffix("戰爭 革命 運動 會議 地震 事件 奧運會 起義 展覽 大會 條約 計畫 典禮"),
    "運輸": _with_suffix("號 線 鐵路 捷運 運河 公路 航線 列車 高鐵 機場 輪 隧道 船"),
    "天文對象": _with_suffix("星 星系 座 星雲 彗星 衛星 環 行星"),
    "時間": _time,
    "度量": _quantity,
    "專業": _with_suffix("學 家 師 學家 獎 員 工程 教授 院長 主席 作家 冠軍"),
    "自然科學": _with_suffix("律 定律 原理 元素 氧 酸 效應 理論 波 粒子 常數 反應 細胞 能 基因 方程式 氣"),
}


@cache
def _words() -> dict[str, list[str]]:
    """Kind -> words: frequent words of the dictionary of jieba (MIT licence), written in Taiwan's characters by OpenCC."""
    lines = Path(__file__).with_name("nano_words.txt").read_text(encoding="utf-8").splitlines()
    return {kind: words for kind, *words in map(str.split, lines) if kind != "#"}


def _word(kind: str) -> Callable[[Draw], str]:
    return lambda rng: rng.choice(_words()[kind])


NAMES |= {kind: _word(kind) for kind in ("地名", "機構", "名詞")}
NAMES["人名"] = lambda rng: _person(rng) if rng.random() < 0.6 else rng.choice(_words()["人名"])
FILLERS = {kind: _word(kind) for kind in ("動詞", "形容詞", "副詞")}  # are not names

PATTERNS = (
    "{人物}是{地理地區}的{專業}",
    "{人物}在{時間}出生於{地理地區}",
    "{時間}，{人物}在{組織}提出了{自然科學}",
    "{組織}成立於{時間}，總部位於{地理地區}",
    "{建築結構}位於{地理地區}，高{度量}",
    "由{人物}設計的{建築結構}在{時間}完工",
    "{人物}寫下了{產品}，並獲得{專業}",
    "{產品}由{組織}生產，重{度量}",
    "{生物}分布於{地理地區}和{地理地區}",
    "{生物}以{生物}為食，體長{度量}",
    "{醫學}會導致{醫學}，也可能引起{醫學}",
    "{專業}{人物}在{時間}發現{天文對象}",
    "{天文對象}的直徑為{度量}，主要成分是{自然科學}",
    "{事件}於{時間}在{地理地區}舉行",
    "{事件}造成{度量}傷亡，{組織}隨後成立",
    "{運輸}全長{度量}，連接{地理地區}與{地理地區}",
    "搭乘{運輸}可以前往{建築結構}",
    "{自然科學}可以用來製造{產品}",
    "{自然科學}是{專業}的重要概念，由{人物}命名",
    "根據{組織}的統計，{地理地區}人口為{度量}",
    "{人物}曾任{組織}{專業}，後來前往{地理地區}",
    "{人物}與{人物}在{事件}中合作",
    "{產品}採用{自然科學}，價格為{度量}",
    "在{地理地區}，{醫學}多由{生物}傳播",
    "{時間}起，{運輸}改由{組織}經營",
    "{自然科學}、{自然科學}與{自然科學}都屬於{專業}",
    "{人物}的父親{人物}是{專業}",
    "{地理地區}面積{度量}，最高點為{地理地區}",
    "許多人認為{產品}有助於減少{醫學}",
    "{天文對象}的名稱來自{人物}",
    "{產品}改編自{人物}的{產品}",
    "到了{時間}，{組織}已經擁有{度量}的{產品}",
    "這種{生物}又稱{生物}",
    "{度量}的{自然科學}能夠產生{度量}的{自然科學}",
)
FEW = (
    "{人物}在{時間}出生於{地理地區}",
    "{組織}成立於{時間}，總部位於{地理地區}",
    "{生物}分布於{地理地區}和{地理地區}",
    "{生物}以{生物}為食",
    "{人物}與{人物}合作",
    "{人物}前往{地理地區}",
    "{人物}創立了{組織}",
    "{時間}，{人物}發現{生物}",
)
WORDS = (
    "{名詞}{副詞}{動詞}{名詞}",
    "{形容詞}的{名詞}{動詞}了{名詞}",
    "{人名}{副詞}{動詞}{地名}的{名詞}",
    "{人名}在{地名}{動詞}{名詞}",
    "{時間}，{人名}{動詞}{機構}",
    "{機構}{動詞}{名詞}，{副詞}{動詞}{名詞}",
    "{地名}的{名詞}{副詞}{形容詞}",
    "{名詞}、{名詞}與{名詞}都{動詞}{名詞}",
    "{地名}位於{地名}，{動詞}{度量}",
    "{名詞}是{形容詞}的{名詞}，{動詞}於{時間}",
    "{動詞}{名詞}的{人名}{動詞}了{產品}",
    "{人名}是{地名}{機構}的{名詞}",
    "{名詞}可以{動詞}{名詞}，也能{動詞}{名詞}",
    "{機構}在{地名}{動詞}了{度量}{名詞}",
    "從{時間}到{時間}，{地名}{副詞}{動詞}{名詞}",
    "{名詞}由{名詞}和{名詞}{動詞}而成",
    "{產品}{副詞}{動詞}{人名}和{人名}",
    "{名詞}{動詞}{度量}，{副詞}比{名詞}{形容詞}",
    "{動詞}{名詞}時，{名詞}會{動詞}{名詞}",
    "{副詞}{動詞}的{名詞}稱為{名詞}",
)
# what may stand before a name and tell its type, as in running text
CUES = {
    "人物": "物理學家 作家 國王 導演 詩人 總統 名叫 畫家 醫師 叫做",
    "組織": "非營利的 民間的 名為 隸屬於 創立了 加入",
    "地理地區": "位於 來自 前往 著名的 北部的 當地的 鄰近",
    "建築結構": "古老的 著名的 興建了 參觀 走進",
    "產品": "名為 著作 使用 推出了 商品",
    "生物": "學名為 瀕危的 一種叫 野生的 飼養",
    "醫學": "罹患 治療 預防 慢性的 診斷出",
    "事件": "爆發了 歷史上的 參加 每年的 著名的",
    "運輸": "搭乘 轉乘 營運的 行駛的",
    "天文對象": "觀測 遙遠的 繞行 明亮的",
    "時間": "早在 直到 大約 從",
    "度量": "高達 將近 超過 平均 不到",
    "專業": "擔任 成為 研究 獲得 資深",
    "自然科學": "根據 其中的 所謂的 發現了 化學上的",
}
LINKS = ("{}也是如此", "關於{}", "至於{}", "{}之後", "除了{}以外", "與{}相比")
JOINTS = ("，因此", "，而且", "，當時", "，不過", "；", "，並", "，同時")


def _clause(
    rng: Draw, patterns: Sequence[str], cued: float, topic: tuple[str, str] | None = None
) -> tuple[str, list[tuple[str, str]]]:
    """One filled pattern and its (kind, name) pairs in order; the given share of the names with a cue before it.

    Where there is a topic it fills most of the first slots for its kind.
    """
    names: list[tuple[str, str]] = []
    parts = rng.choice(patterns).split("{")
    text = [parts[0]]
    for part in parts[1:]:
        kind, rest = part.split("}")
        if kind in FILLERS:
            text += [FILLERS[kind](rng), rest]
            continue
        if topic and kind == topic[0] and topic not in names and rng.random() < 0.7:
            name = topic[1]
        else:
            name = NAMES[kind](rng)
        names.append((kind, name))
        cue = rng.choice(CUES[kind].split()[: rng.most]) if kind in CUES and rng.random() < cued else ""
        text += [cue, name, rest]
    return "".join(text), names


def passage(
    rng: Draw,
    sentences: int,
    cued: float,
    patterns: Sequence[str] = PATTERNS,
    again: float = 0.5,
    topical: float = 0.0,
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Generated sentences; the given share of them (but for the first) names again what an earlier one named.

    `topical`: how often the passage has a topic, a name of its first sentence that comes again in most others.
    """
    rng.narrow()
    made: list[tuple[str, list[tuple[str, str]]]] = []
    topic = None
    for _ in range(sentences):
        text, names = _clause(rng, patterns, cued, topic)
        if rng.random() < 0.5:
            more, more_names = _clause(rng, patterns, cued, topic)
            text, names = text + rng.choice(JOINTS) + more, names + more_names
        if made and rng.random() < again:
            kind, name = topic or rng.choice([pair for _, earlier in made for pair in earlier])
            text, names = f"{rng.choice(LINKS).format(name)}，{text}", [(kind, name), *names]
        if topical and not made and rng.random() < topical:
            topic = rng.choice(names)
        made.append((text + "。", names))
    return made


def _ask_list(rng, made):
    present = sorted({kind for _, names in made for kind, _ in names})
    kind = rng.choice(present) if rng.random() < 0.93 else rng.choice(sorted(NAMES))
    found = list(dict.fromkeys(name for _, names in made for k, name in names if k == kind))
    return rng.choice((f"列出文中的{kind}。", f"下文有哪些{kind}？", f"找出所有的{kind}。")), "、".join(found) or "沒有"


def _ask_all(rng, made):
    found = list(dict.fromkeys(name for _, names in made for _, name in names))
    return rng.choice(("列出文中的名稱。", "下文提到什麼？")), "、".join(found)


def _ask_lines(rng, made):
    lines = ["、".join(dict.fromkeys(name for _, name in names)) for _, names in made]
    return rng.choice(("逐句列出名稱。", "每一句提到什麼？")), "\n".join(lines)


def _ask_kinds(rng, made):
    present = sorted({kind for _, names in made for kind, _ in names})
    kinds = rng.sample(present, min(len(present), rng.randint(2, 4)))
    lines = []
    for kind in kinds:
        found = dict.fromkeys(name for _, names in made for k, name in names if k == kind)
        lines.append(kind + "有" + "、".join(found))
    return f"列出文中的{'、'.join(kinds)}。", "。".join(lines)


def _ask_about(rng, made):
    _, name = rng.choice([pair for _, names in made for pair in names])
    return f"引用提到{name}的句子。", "".join(text for text, _ in made if name in text)


# layouts of the last stage, none of them a task's: marks around a name, between names, a heading, between headed lists
QUOTES = (
    ("", ""),
    ("「", "」"),
    ("『", "』"),
    ("“", "”"),
    ("<", ">"),
    ("*", "*"),
    ("【", "】"),
    ('"', '"'),
    ("(", ")"),
)
BETWEEN = ("、", "，", "；", ", ", "; ", " / ", " | ", "\n", " ", "+", " 和 ")
HEADINGS = ("{}有", "{}：", "{} = ", "（{}）", "{} -> ", "[{}] ", "“{}” ", "{}: ")
AFTER = ("。", "\n", "；", " || ", "},{", ") (", "], ")
PAIRED = ("→", " + ", "與", "～", " : ", "／", "--")


def _ask_laid_out(rng, made):
    """Names by kind in a layout that the question shows on an example; some kinds, or all in the order of the text."""
    pairs = [pair for _, names in made for pair in names]
    kinds = list(dict.fromkeys(kind for kind, _ in pairs))
    if whole := rng.random() < 0.5:
        question = "依類別列出所有名稱。"
    else:
        kinds = rng.sample(kinds, min(len(kinds), rng.randint(1, 4)))
        if rng.random() < 0.2:
            kinds.insert(rng.randint(0, len(kinds)), rng.choice([kind for kind in NAMES if kind not in kinds]))
        question = f"列出文中的{'、'.join(kinds)}。"
    (left, right), between, heading, after = (rng.choice(o) for o in (QUOTES, BETWEEN, HEADINGS, AFTER))

    def lay_out(lists: dict[str, list[str]]) -> str:
        return after.join(
            heading.format(kind) + between.join(f"{left}{n}{right}" for n in names) for kind, names in lists.items()
        )

    found = {kind: list(dict.fromkeys(name for k, name in pairs if k == kind)) for kind in kinds}
    example = lay_out({"子": ["甲", "乙"], "丑": ["丙"]} if whole or len(kinds) > 1 else {"子": ["甲", "乙"]})
    return f"{question}寫成：{example}", lay_out(found)


def _ask_pairs(rng, made):
    """The first name of each sentence with each of its others, one pair a line."""
    mark = rng.choice(PAIRED)
    lines = [first + mark + name for _, names in made for (_, first), (_, name) in ((names[0], n) for n in names[1:])]
    return f"逐句配對，寫成：甲{mark}乙", "\n".join(dict.fromkeys(lines)) or "沒有"


PLAIN = ((_ask_list, 8), (_ask_kinds, 3), (_ask_all, 2), (_ask_lines, 2), (_ask_about, 1))
LAID_OUT = ((_ask_list, 4), (_ask_laid_out, 7), (_ask_pairs, 2), (_ask_all, 1), (_ask_lines, 1), (_ask_about, 1))


class Stage(NamedTuple):
    """What one stage of the training reads."""

    rows: int
    sizes: tuple[int, ...]  # of a passage, in sentences
    cued: tuple[float, ...]  # the share of names with a cue before them, drawn for each passage
    questions: tuple[tuple[Callable, int], ...]  # with their weights
    patterns: tuple[tuple[str, ...], ...] = (PATTERNS,)  # one of these sets for each passage
    again: float = 0.5  # the share of sentences that name again what an earlier one named
    most: int = 100  # cues and endings of a kind
    topical: float = 0.0  # the share of passages in which one name comes again and again


# the few kinds of the first stage let the model find out that a list goes on with the next name of its kind; begun with all
# kinds at once, it had not found out after four times as many rows. In a real article one name stands in nearly every
# sentence, and after each place another name comes next, so going on from the last name leads in circles
STAGES = {
    "few": Stage(20_000, (1, 1, 2, 2, 3, 4), (1.0,), PLAIN, (FEW,), again=0.0, most=3),
    "list": Stage(30_000, (1, 1, 2, 2, 3, 4), (1.0, 0.8), PLAIN, (PATTERNS, PATTERNS, FEW)),
    "read": Stage(11_000, (1, 2, 3, 4, 6, 8), (0.2, 0.5, 0.8), LAID_OUT, (PATTERNS, WORDS)),
    "topic": Stage(5_000, (2, 3, 4, 6, 8), (0.2, 0.5), LAID_OUT, (PATTERNS, WORDS, WORDS), topical=0.8),
}
COPIED = 0.12  # of the rows are strings to repeat
TURNS = 6


def reading_row(rng: Draw, stage: Stage) -> list[tuple[str, str]]:
    """Questions about one generated passage, which stands after or before the first of them: one row teaches many answers."""
    made = passage(
        rng, rng.choice(stage.sizes), rng.choice(stage.cued), rng.choice(stage.patterns), stage.again, stage.topical
    )
    asks = rng.choices([q for q, _ in stage.questions], [w for _, w in stage.questions], k=TURNS)
    turns = {
        answer: question for question, answer in (ask(rng, made) for ask in asks)
    }  # no answer twice: it would be copied
    (answer, question), *others = turns.items()
    text = "".join(sentence for sentence, _ in made)
    first = f"{question}\n{text}" if rng.random() < 0.6 else f"{text}\n{question}"
    return [(first, answer), *((question, answer) for answer, question in others)]


def copy_row(rng: Draw) -> list[tuple[str, str]]:
    """Repeat a random string of 8 to 80 characters; of few kinds at times, so that one character does not tell the next.

    Every sign is among them, blanks, brackets, letters of other scripts and characters spelled in bytes as well. A sign that
    never stood in an answer ends up so far from everything that LoRA, which leaves the embeddings as they are, cannot make
    it likely again.
    """
    size = rng.randint(8, 80)
    share, kinds = rng.choice((0.0, 0.1, 0.5)), rng.choice((8, 20, 50, 1000))
    others, chinese = rng.sample(SIGNS, min(kinds, len(SIGNS))), rng.sample(CHARACTERS, kinds)
    text = "".join(rng.choice(others if rng.random() < share else chinese) for _ in range(size)).strip()
    return [(f"{rng.choice(('重複：', '照抄：', '再說一次：'))}{text}", text)]


def stage_rows(name: str) -> Iterator[list[tuple[str, str]]]:
    """The rows of a stage, each a conversation of (question, answer)."""
    rng, stage = Draw(f"{SEED} {name}"), STAGES[name]
    rng.most = stage.most
    for _ in range(stage.rows):
        yield copy_row(rng) if rng.random() < COPIED else reading_row(rng, stage)


def data(folder: Path) -> None:
    """Write the generated conversations and their LlamaFactory registry (its sharegpt format)."""
    registry = {}
    for name in STAGES:
        lines, size = [], 0
        for row in stage_rows(name):
            said = [turn for question, answer in row for turn in (("human", question), ("gpt", answer))]
            lines.append(dump_json({"conversations": [{"from": who, "value": text} for who, text in said]}))
            size += sum(len(text) for _, text in said)
        write_text(folder / f"nano_{name}.json", "[\n" + ",\n".join(lines) + "\n]\n")
        registry[f"nano_{name}"] = {"file_name": f"nano_{name}.json", "formatting": "sharegpt"}
        print(f"{folder / name}.json: {len(lines):,} conversations, {size / len(lines):.0f} characters each")
    write_text(folder / "dataset_info.json", dump_json(registry, indent=2))


def publish(source: Path, target: Path) -> None:
    """Copy the trained model to its place as float32 safetensors with its tokenizer, without a trace of the trainer.

    transformers computes in the precision that the file has, on a CPU too: stored in bfloat16 a model of this width answers
    badly and trains slowly.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if not (source / "model.safetensors").is_file():
        raise EtlchError(
            f"{source}: no model.safetensors (expected the output of nano_base_topic.yaml; run `make nano`)"
        )
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    model.generation_config.do_sample = False
    model.generation_config.temperature = model.generation_config.top_p = None
    model.save_pretrained(target)
    build_tokenizer().save_pretrained(target)
    for name in ("training_args.bin", "optimizer.pt"):
        (target / name).unlink(missing_ok=True)
    print(f"{target}: {sum(f.stat().st_size for f in target.iterdir()) / 1e6:.1f} MB")


def main(arguments: list[str]) -> int:
    """Run one step; see the module's first lines."""
    step = arguments[0] if arguments else ""
    root = Path("runs/nano_base")
    if step == "init":
        shutil.rmtree(root / "init", ignore_errors=True)
        init(root / "init")
    elif step == "data":
        data(root / "data")
    elif step == "publish":
        publish(root / "topic", Path("models/nano"))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
