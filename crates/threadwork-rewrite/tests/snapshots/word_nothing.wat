;; Without a memory there is nothing to look at.
(module (func (loop (br 0))))
