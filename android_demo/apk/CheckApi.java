import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;
import org.codehaus.mojo.animal_sniffer.SignatureChecker;
import org.codehaus.mojo.animal_sniffer.logging.PrintWriterLogger;

/** Fails where classes call what is not in a public API: java CheckApi.java API.signature CLASSES. */
class CheckApi {
  public static void main(String[] args) throws Exception {
    Set<String> ours = new HashSet<String>();
    ours.add("org.a2vtf.*");
    ours.add("org.bytedeco.*");
    try (InputStream api = new FileInputStream(args[0])) {
      SignatureChecker checker = new SignatureChecker(api, ours, new PrintWriterLogger(System.err));
      checker.setSourcePath(Collections.<File>emptyList());
      checker.process(new File(args[1]));
      if (checker.isSignatureBroken()) {
        System.exit(1);
      }
    }
  }
}
