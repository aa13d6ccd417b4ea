"""Words that say that images are there and not of which class: in English, and in languages that films come in."""

from __future__ import annotations

CONTAINERS = frozenset({
    "image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos", "film", "films", "frame",
    "frames", "slice", "slices", "scan", "scans", "data", "dataset", "datasets", "file", "files", "raw", "png", "pngs",
    "jpg", "jpgs", "jpeg", "jpegs", "bmp", "tif", "tiff", "tiffs", "dcm", "dicom", "dicoms", "input", "inputs",
    "output", "outputs", "original", "originals", "augmented", "augmentation", "preprocessed", "processed", "resized",
    "cropped", "trainset", "testset", "valset", "trainval", "traindata", "testdata", "valdata", "unlabeled",
    "unlabelled", "thumbnails", "thumbs", "pred", "preds", "prediction", "predictions",
    # what lies beside films in a project
    "figure", "figures", "plot", "plots", "result", "results", "docs", "samples", "examples", "demo", "code", "scripts",
    "notebooks", "checkpoints", "logs", "tmp", "temp", "trash", "backup", "backups", "bak", "copy", "copies",
    # Spanish, Portuguese, French, Italian, German, Dutch, Scandinavian, Polish, Romanian, Turkish, Indonesian
    "imagen", "imagenes", "foto", "fotos", "datos", "archivos", "imagem", "imagens", "dados", "arquivos", "cliches",
    "donnees", "fichiers", "immagine", "immagini", "dati", "bild", "bilder", "aufnahme", "aufnahmen", "daten",
    "dateien", "beeld", "beelden", "afbeelding", "afbeeldingen", "gegevens", "billeder", "obraz", "obrazy", "zdjecia",
    "dane", "imagini", "date", "goruntu", "goruntuler", "resim", "resimler", "veri", "veriler", "gambar", "citra",
    # Russian, Ukrainian, Chinese, Japanese, Korean
    "изображение", "изображения", "снимок", "снимки", "фото", "данные", "зображення", "дані", "图像", "图片", "影像",
    "数据", "原图", "數據", "圖像", "画像", "データ", "이미지", "영상", "데이터",
})  # fmt: skip
SPLITS = frozenset({
    "eval", "evaluation", "holdout", "heldout", "tune", "tuning", "unseen",
    "entrenamiento", "prueba", "pruebas", "validacion", "treino", "treinamento", "teste", "testes", "validacao",
    "entrainement", "apprentissage", "essai", "essais", "addestramento", "allenamento", "prova", "convalida",
    "validazione", "trainingsdaten", "testdaten", "validierung", "validierungsdaten", "trainingsset", "validatie",
    "trening", "treningowy", "testowy", "walidacja", "egitim", "dogrulama", "latih", "uji", "validasi", "antrenare",
    "traning", "обучение", "тест", "тренировка", "валидация", "训练集", "测试集", "验证集", "训练", "测试",
    "验证", "訓練", "学習", "テスト", "検証", "훈련", "학습", "테스트", "검증",
})  # fmt: skip
"""Words for splits that are not read as such: in another language, or with several meanings."""
