"""How the two toys were trained. Run by hand; nothing else imports this package."""

from cluster.native_libraries import mend

# Transformers looks once for what is there, as soon as it is imported: by then it must be mended.
mend()
