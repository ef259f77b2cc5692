import java.io.FileInputStream;
import java.util.TreeMap;
import java.util.logging.LogManager;
import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.flavours.PDFAFlavour;
import org.verapdf.pdfa.results.TestAssertion.Status;

/** Says of each PDF whether veraPDF finds that it is PDF/UA-1 (ISO 14289-1), and if not, which rules it breaks. */
public class Validate {
    public static void main(String[] files) throws Exception {
        LogManager.getLogManager().reset();
        VeraGreenfieldFoundryProvider.initialise();
        boolean all = true;
        for (String file : files) {
            try (var parser = Foundries.defaultInstance().createParser(new FileInputStream(file), PDFAFlavour.PDFUA_1);
                    var validator = Foundries.defaultInstance().createValidator(PDFAFlavour.PDFUA_1, false)) {
                var result = validator.validate(parser);
                all &= result.isCompliant();
                System.out.printf("%s: %s, %d assertions%n", file,
                        result.isCompliant() ? "PDF/UA-1" : "not PDF/UA-1", result.getTotalAssertions());
                var faults = new TreeMap<String, Integer>();
                for (var assertion : result.getTestAssertions()) {
                    if (assertion.getStatus() == Status.FAILED) {
                        var rule = assertion.getRuleId();
                        faults.merge(rule.getClause() + "-" + rule.getTestNumber() + " " + assertion.getMessage(), 1, Integer::sum);
                    }
                }
                faults.forEach((fault, times) -> System.out.printf("  %d x %s%n", times, fault));
            }
        }
        System.exit(all ? 0 : 1);
    }
}
