# Serial collector and the quick compiler only: a small server on a small machine starts sooner and stays small.
FROM localhost/matrix/java-build AS runtime
RUN /usr/lib/jvm/jdk/bin/jlink \
        --add-modules java.base,java.logging,jdk.httpserver \
        --add-options="-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto" \
        --strip-debug --no-header-files --no-man-pages --output /opt/java \
    && rm -rf /opt/java/legal \
    && find /opt/java -name '*.so' -exec strip --strip-unneeded {} + \
    && /opt/java/bin/java -Xshare:dump

FROM localhost/matrix/base
COPY --from=runtime /opt/java /opt/java
ENV PATH=/opt/java/bin JAVA_HOME=/opt/java
USER 10001
