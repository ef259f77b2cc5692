// Read nomade.cfg, which proposes the person's account.
pref("general.config.filename", "nomade.cfg");
pref("general.config.obscure_value", 0);
