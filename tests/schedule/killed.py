"""Words whose writer dies before a given store: what SIGKILL between two stores leaves behind."""


class Killed(BaseException):
    """The writer is gone; nothing of it runs on."""


class MortalWords:
    """Passes reads and so many single stores on to the words beneath; the next store raises Killed."""

    def __init__(self, words, stores):
        self.words = words
        self.stores = stores

    def __len__(self):
        return len(self.words)

    def __getitem__(self, at):
        return self.words[at]

    def __setitem__(self, at, value):
        if self.stores == 0:
            raise Killed
        self.stores -= 1
        self.words[at] = value
